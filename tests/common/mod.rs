//! The environment of a test: a software TPM behind a proxy, and a device with a gadget snap.

// Each test binary uses a different part of it.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod campaign;
pub(crate) mod line;
pub(crate) mod token;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use testbed::{Device, HookCommand, HookOutcome, TestTpm};

pub(crate) const CONFIGURE: &str = env!("CARGO_BIN_EXE_configure");
pub(crate) const INSTALL_DEVICE: &str = env!("CARGO_BIN_EXE_install-device");
pub(crate) const PREPARE_DEVICE: &str = env!("CARGO_BIN_EXE_prepare-device");
pub(crate) const PREPARE_SERIAL_REQUEST: &str = env!("CARGO_BIN_EXE_prepare-serial-request");

/// Both hooks of a registration, in the order in which snapd runs them.
pub(crate) const HOOKS: [&str; 2] = [PREPARE_DEVICE, PREPARE_SERIAL_REQUEST];

/// Runs the script in an environment variable.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/script.sh");

pub(crate) const HANDLE: u32 = 0x8101_8C00;
pub(crate) const NONCE: &str = "a nonce of the model service";

/// A program of another package of the workspace; cargo builds all of them into one directory.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = Path::new(PREPARE_DEVICE).with_file_name(name);
    assert!(
        path.exists(),
        "{} is missing; run cargo build --workspace",
        path.display()
    );
    path
}

/// A device and its TPM.
pub(crate) struct World {
    pub(crate) tpm: TestTpm,
    pub(crate) device: Device,
}

impl World {
    pub(crate) fn new() -> Self {
        World {
            tpm: TestTpm::new().unwrap(),
            device: Device::new().unwrap(),
        }
    }

    /// A device whose settings file holds `settings`.
    pub(crate) fn with_settings(settings: &str) -> Self {
        let world = World::new();
        world.device.write_settings(settings).unwrap();
        world
    }

    /// A device without a TPM: the settings name another backend. Its TPM gets no command.
    pub(crate) fn with_backend(backend: &str, settings: &str) -> Self {
        World::with_settings(&format!("key-backend = '{backend}'\n{settings}"))
    }

    /// A device without an identity that has a nonce to sign.
    pub(crate) fn unprepared() -> Self {
        let world = World::new();
        world.give_nonce(json!(NONCE));
        world
    }

    /// A device that has its identity and a nonce to sign.
    pub(crate) fn prepared() -> Self {
        let world = World::new();
        world.prepare_device().succeeded();
        world.give_nonce(json!(NONCE));
        world
    }

    pub(crate) fn give_nonce(&self, nonce: Value) {
        self.device.set_config("registration.request-id", nonce).unwrap();
    }

    pub(crate) fn hook(&self, executable: &str) -> HookCommand<'_> {
        self.device
            .hook(Path::new(executable))
            .env("TCTI", self.tpm.tcti())
    }

    /// A shell script, which starts the hook as `"$HOOK"`.
    pub(crate) fn hook_in(&self, script: &str, executable: &str) -> HookCommand<'_> {
        let name = Path::new(executable).file_name().unwrap().to_str().unwrap();
        self.device
            .hook(Path::new(SCRIPT))
            .name(name)
            .env("TCTI", self.tpm.tcti())
            .env("HOOK", executable)
            .env("HOOK_SCRIPT", script)
    }

    /// A hook without root's capabilities, for which the permissions of files count.
    pub(crate) fn unprivileged_hook(&self, executable: &str) -> HookCommand<'_> {
        let script =
            "[ $(id -u) = 0 ] || exec \"$HOOK\"; exec setpriv --bounding-set=-all --inh-caps=-all \"$HOOK\"";
        self.hook_in(script, executable)
    }

    /// A hook that calls a shell script in place of snapctl. The script can call snapctl as
    /// `"$SNAPCTL"`.
    pub(crate) fn hook_with_snapctl(&self, script: &str, executable: &str) -> HookCommand<'_> {
        self.hook(executable)
            .snapctl(Path::new(SCRIPT))
            .env("SNAPCTL", Path::new(executable).with_file_name("snapctl"))
            .env("SNAPCTL_SCRIPT", script)
    }

    pub(crate) fn set_option(&self, name: &str, value: Value) {
        let option = format!("hardware-identity.{name}");
        self.device.set_config(&option, value).unwrap();
    }

    /// The state that hooks change: on the disk, in the TPM, and in snapd's configuration.
    pub(crate) fn traces(&self) -> Traces {
        let files = fs::read_dir(self.device.save_data()).unwrap().map(|entry| {
            let entry = entry.unwrap();
            // A directory has no content, and a FIFO would block.
            let is_file = entry.file_type().unwrap().is_file();
            let content = is_file.then(|| fs::read(entry.path()).ok());
            (entry.file_name().into_string().unwrap(), content.flatten())
        });
        Traces {
            files: files.collect(),
            persistent: self.tpm.persistent_handles().unwrap(),
            body: self.body(),
        }
    }

    /// Runs a hook that has to fail, as [`Expect::failed`], without changing anything.
    pub(crate) fn refused(&self, hook: HookCommand<'_>, code: &str, values: &[&str]) {
        let before = self.traces();
        hook.run().unwrap().failed(code, values);
        assert_eq!(self.traces(), before);
    }

    /// Runs both hooks, which have to fail with the same error without changing anything.
    pub(crate) fn both_refused(&self, code: &str, values: &[&str]) {
        for executable in HOOKS {
            self.refused(self.hook(executable), code, values);
        }
    }

    /// Runs both hooks, which have to succeed.
    pub(crate) fn both_work(&self) {
        self.prepare_device().succeeded();
        self.prepare_serial_request().succeeded();
        assert!(self.body().is_some());
    }

    pub(crate) fn prepare_device(&self) -> HookOutcome {
        self.hook(PREPARE_DEVICE).run().unwrap()
    }

    pub(crate) fn prepare_serial_request(&self) -> HookOutcome {
        self.hook(PREPARE_SERIAL_REQUEST).run().unwrap()
    }

    pub(crate) fn body(&self) -> Option<Value> {
        self.device.config("registration.body").unwrap()
    }

    pub(crate) fn record_file(&self) -> PathBuf {
        self.device.save_data().join("hardware-identity.json")
    }

    pub(crate) fn record(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.record_file()).unwrap()).unwrap()
    }

    /// The Name of the key at the persistent handle, as tpm2-tools reads it.
    pub(crate) fn name_at_handle(&self) -> String {
        let text = self.tpm.tpm2(&["tpm2_readpublic", "-c", "0x81018C00"]).unwrap();
        let line = text.lines().find(|line| line.starts_with("name:")).unwrap();
        line.trim_start_matches("name:").trim().to_owned()
    }

    /// The tool, with the device's directories.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Output {
        Command::new(program("hardware-identity"))
            .args(arguments)
            .env_clear()
            .env("TCTI", self.tpm.tcti())
            .env("SNAP", self.device.snap())
            .env("SNAP_SAVE_DATA", self.device.save_data())
            .output()
            .unwrap()
    }
}

/// The state that hooks change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traces {
    files: BTreeMap<String, Option<Vec<u8>>>,
    persistent: Vec<u32>,
    body: Option<Value>,
}

/// Checks the outcome of a hook.
pub(crate) trait Expect {
    /// It succeeded and printed nothing.
    fn succeeded(&self);
    /// It failed with status 1 and printed one line, which ends with `[code]` and has all of
    /// `values` in it: names, paths and numbers from the input, never words of the message.
    fn failed(&self, code: &str, values: &[&str]);
    /// It succeeded and printed warnings with these codes, a line each.
    fn warned(&self, codes: &[&str]);
}

impl Expect for HookOutcome {
    fn succeeded(&self) {
        assert!(self.status.success(), "{}", self.merged);
        assert_eq!(
            self.merged, "",
            "a hook that has nothing to report prints nothing"
        );
    }

    fn failed(&self, code: &str, values: &[&str]) {
        assert_eq!(self.status.code(), Some(1), "{}", self.merged);
        assert_eq!(self.merged.lines().count(), 1, "one line: {}", self.merged);
        assert_line(&self.merged, code, values);
    }

    fn warned(&self, codes: &[&str]) {
        assert!(self.status.success(), "{}", self.merged);
        assert_eq!(self.merged.lines().count(), codes.len(), "{}", self.merged);
        for (line, code) in self.merged.lines().zip(codes) {
            assert_line(line, code, &[": warning: "]);
        }
    }
}

/// The line ends with `[code]` and has all of `values` in it.
pub(crate) fn assert_line(line: &str, code: &str, values: &[&str]) {
    assert!(
        line.trim_end().ends_with(&format!(" [{code}]")),
        "[{code}] is missing: {line}"
    );
    for value in values {
        assert!(line.contains(value), "`{value}` is missing: {line}");
    }
}
