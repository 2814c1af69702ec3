//! A device with a PKCS#11 token: SoftHSM, or tpm2-pkcs11 on the world's software TPM.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use testbed::{HookCommand, HookOutcome};

use super::{PREPARE_DEVICE, PREPARE_SERIAL_REQUEST, World};

const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
pub(crate) const PIN: &str = "123456";
const SO_PIN: &str = "654321";
pub(crate) const TOKEN: &str = "a board";

/// A device whose settings name a token of its own.
pub(crate) struct TokenWorld {
    pub(crate) world: World,
    pub(crate) module: PathBuf,
    directory: TempDir,
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl TokenWorld {
    /// With SoftHSM. `settings` are more lines of the settings file.
    pub(crate) fn softhsm(settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tokens = directory.path().join("tokens");
        fs::create_dir(&tokens).unwrap();
        let config = directory.path().join("softhsm2.conf");
        let content = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\n",
            tokens.display()
        );
        fs::write(&config, content).unwrap();
        let variables = vec![("SOFTHSM2_CONF", config.display().to_string())];
        let world = TokenWorld::new(SOFTHSM.into(), directory, variables, World::new());
        world.add_token(TOKEN);
        world.write_settings(settings);
        world
    }

    fn new(
        module: PathBuf,
        directory: TempDir,
        variables: Vec<(&'static str, String)>,
        world: World,
    ) -> Self {
        let world = TokenWorld {
            world,
            module,
            directory,
            variables,
        };
        world.write_pin(PIN);
        world
    }

    /// With tpm2-pkcs11 on the world's software TPM.
    pub(crate) fn tpm2(settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        fs::create_dir(&store).unwrap();
        let world = World::new();
        let variables = vec![
            ("TPM2_PKCS11_STORE", store.display().to_string()),
            ("TPM2_PKCS11_TCTI", world.tpm.tcti()),
            ("TPM2_PKCS11_LOG_LEVEL", "0".to_owned()),
        ];
        let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
        let module = format!("/usr/lib/{triplet}/pkcs11/libtpm2_pkcs11.so").into();
        let world = TokenWorld::new(module, directory, variables, world);
        world.tool(&[
            "--init-token",
            "--slot-index",
            "0",
            "--label",
            TOKEN,
            "--so-pin",
            SO_PIN,
        ]);
        let label = ["--token-label", TOKEN];
        world.tool(
            &[
                &label[..],
                &["--login", "--so-pin", SO_PIN, "--init-pin", "--pin", PIN],
            ]
            .concat(),
        );
        world.write_settings(settings);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write_pin(&self, pin: &str) {
        fs::write(self.path("pin"), format!("{pin}\n")).unwrap();
        fs::set_permissions(self.path("pin"), Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn write_settings(&self, settings: &str) {
        self.write_settings_for(&self.module, TOKEN, settings);
    }

    pub(crate) fn write_settings_for(&self, module: &std::path::Path, token: &str, settings: &str) {
        let text = self.settings_for(module, token, settings);
        self.world.device.write_settings(&text).unwrap();
    }

    pub(crate) fn settings_for(&self, module: &std::path::Path, token: &str, settings: &str) -> String {
        format!(
            "key-backend = 'pkcs11'\n{settings}\n[pkcs11]\nmodule = '{}'\ntoken = '{token}'\npin-file = '{}'\n",
            module.display(),
            self.path("pin").display(),
        )
    }

    /// Replaces the token of SoftHSM by an empty one.
    pub(crate) fn replace_token(&self) {
        let tokens = self.path("tokens");
        fs::remove_dir_all(&tokens).unwrap();
        fs::create_dir(&tokens).unwrap();
        self.add_token(TOKEN);
    }

    pub(crate) fn add_token(&self, label: &str) {
        let mut util = Command::new("softhsm2-util");
        util.args(["--init-token", "--free", "--label", label, "--pin", PIN]);
        let output = util
            .args(["--so-pin", SO_PIN])
            .envs(self.variables.clone())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// pkcs11-tool of OpenSC, with the module.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Vec<u8> {
        let mut tool = Command::new("pkcs11-tool");
        let tool = tool.arg("--module").arg(&self.module).args(arguments);
        let output = tool.envs(self.variables.clone()).output().unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// pkcs11-tool, logged in to the token.
    pub(crate) fn logged_in(&self, arguments: &[&str]) -> Vec<u8> {
        let login = ["--token-label", TOKEN, "--login", "--pin", PIN];
        self.tool(&[&login[..], arguments].concat())
    }

    /// The private keys in the token, a description of each.
    pub(crate) fn private_keys(&self) -> Vec<String> {
        let listed = self.logged_in(&["--list-objects", "--type", "privkey"]);
        let listed = String::from_utf8(listed).unwrap();
        let mut keys = Vec::new();
        for line in listed.lines() {
            match line.starts_with("Private Key Object") {
                true => keys.push(line.to_owned()),
                false => keys.last_mut().unwrap().push_str(line),
            }
        }
        keys
    }

    pub(crate) fn hook(&self, executable: &str) -> HookCommand<'_> {
        self.with_variables(self.world.hook(executable))
    }

    pub(crate) fn with_variables<'a>(&self, mut hook: HookCommand<'a>) -> HookCommand<'a> {
        for (name, value) in &self.variables {
            hook = hook.env(name, value);
        }
        hook
    }

    pub(crate) fn prepare_device(&self) -> HookOutcome {
        self.hook(PREPARE_DEVICE).run().unwrap()
    }

    pub(crate) fn prepare_serial_request(&self) -> HookOutcome {
        self.hook(PREPARE_SERIAL_REQUEST).run().unwrap()
    }

    /// Runs both hooks, which have to fail with the same error without changing anything.
    pub(crate) fn both_refused(&self, code: &str, values: &[&str]) {
        for executable in super::HOOKS {
            self.world.refused(self.hook(executable), code, values);
        }
    }

    /// The program `hardware-identity`, with the device's directories.
    pub(crate) fn show(&self, arguments: &[&str]) -> Value {
        let output = Command::new(super::program("hardware-identity"))
            .args(arguments)
            .env_clear()
            .env("SNAP", self.world.device.snap())
            .env("SNAP_SAVE_DATA", self.world.device.save_data())
            .envs(self.variables.clone())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
