//! A device on the factory line, for the tests of install-device.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::{HookCommand, SystemMode};

use super::{Expect as _, INSTALL_DEVICE, NONCE, World};

const WITH_VOLUME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/with-volume.sh");

/// The settings that an export needs.
pub(crate) const EXPORT_SETTINGS: [&str; 4] = [
    "issuer-id = 'a-brand'\n",
    "manufacturer = 'A'\n",
    "hardware-name = 'a-box'\n",
    "hardware-id = 'SN-1'\n",
];

/// A device that is being installed in a factory.
pub(crate) struct Line {
    pub(crate) world: World,
    directory: TempDir,
}

impl Line {
    /// With the settings that an export needs, and these for a factory boot.
    pub(crate) fn new(export: &str, then: &str) -> Self {
        let headers = EXPORT_SETTINGS.concat();
        Line::with_settings(&format!(
            "{headers}[factory]\nexport = '{export}'\nthen = '{then}'\n"
        ))
    }

    pub(crate) fn with_settings(settings: &str) -> Self {
        let line = Line {
            world: World::with_settings(settings),
            directory: tempfile::tempdir().unwrap(),
        };
        line.boot("install", true);
        for name in ["work", "copy"] {
            fs::create_dir(line.path(name)).unwrap();
        }
        line
    }

    /// With an export to a file of this test, and power off.
    pub(crate) fn to_file() -> (Self, PathBuf) {
        let line = Line::new("console", "poweroff");
        let file = line.path("export.json");
        line.export_to(&format!("file:{}", file.display()));
        (line, file)
    }

    pub(crate) fn export_to(&self, target: &str) {
        self.world.set_option("factory.export", json!(target));
    }

    pub(crate) fn boot(&self, mode: &str, factory: bool) {
        let mode = SystemMode {
            mode: mode.to_owned(),
            factory,
            ..SystemMode::default()
        };
        self.world.device.set_system_mode(mode).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn hook(&self) -> HookCommand<'_> {
        self.world.hook(INSTALL_DEVICE)
    }

    /// The hook with a TCTI that leads to no TPM.
    pub(crate) fn hook_without_tpm(&self) -> HookCommand<'_> {
        self.world.set_option("tpm-wait", json!(0));
        self.hook().env("TCTI", "device:/nonexistent/tpm")
    }

    /// The hook on a device with a volume FACTORY, after the shell command `fault`.
    /// [`on_volume`](Self::on_volume) lists the volume's files afterwards.
    pub(crate) fn hook_with_volume(&self, fault: &str) -> HookCommand<'_> {
        self.world
            .hook_in("exec sh \"$WITH_VOLUME\"", INSTALL_DEVICE)
            .env("WITH_VOLUME", WITH_VOLUME)
            .env("WORK", self.path("work"))
            .env("VOLUME", self.path("work/media/stick"))
            .env("COPY", self.path("copy"))
            .env("FAULT", fault)
    }

    pub(crate) fn on_volume(&self) -> Vec<String> {
        names_in(&self.path("copy"))
    }

    /// The shutdown that snapd was asked for.
    pub(crate) fn shutdown(&self) -> Option<String> {
        self.world.device.take_reboot_request().unwrap()
    }

    pub(crate) fn last_call(&self) -> Vec<String> {
        self.world.device.calls().unwrap().pop().unwrap()
    }

    /// The hook fails, as [`Expect::failed`], and the device does not shut down.
    pub(crate) fn failed(&self, hook: HookCommand<'_>, code: &str, values: &[&str]) {
        hook.run().unwrap().failed(code, values);
        let calls = self.world.device.calls().unwrap();
        assert!(calls.iter().all(|call| call[0] != "reboot"), "{calls:?}");
    }

    /// The hooks of a registration in run mode find the identity that was made in install mode.
    pub(crate) fn run_mode_works(&self) {
        self.boot("run", false);
        self.world.give_nonce(json!(NONCE));
        self.world.both_work();
    }
}

pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Checks that the export is that of the world's device.
pub(crate) fn check_export(world: &World, text: &str) {
    let export: Value = serde_json::from_str(text).unwrap();
    let record = world.record();
    let expected = json!({
        "type": "hardware-identity",
        "authority-id": "a-brand",
        "issuer-id": "a-brand",
        "manufacturer": "A",
        "hardware-name": "a-box",
        "hardware-id": "SN-1",
        "hardware-id-key": record["public-key"],
        "hardware-id-key-sha3-384": record["digest"],
        "timestamp": record["created"],
    });
    assert_eq!(export, expected);
    assert_eq!(record["name"], world.name_at_handle());
}
