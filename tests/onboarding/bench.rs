//! A running model service, and a factory that makes devices for it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;
use testbed::{Device, TestTpm};

use crate::common::{PREPARE_DEVICE, PREPARE_SERIAL_REQUEST, program};

pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A running model service, with the keys of its bench.
pub(crate) struct Bench {
    directory: TempDir,
    service: Child,
    /// The address that devices get.
    pub(crate) url: String,
}

impl Bench {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// With further settings at the end of the settings file.
    pub(crate) fn start_with(further: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bench = directory.path().join("bench");
        succeed(Command::new(program("model-service")).arg("init").arg(&bench));
        let config = bench.join("model-service.toml");
        let settings = fs::read_to_string(&config).unwrap();
        let settings = settings.replace("127.0.0.1:8650", "127.0.0.1:0") + further;
        fs::write(&config, settings).unwrap();
        let mut service = Command::new(program("model-service"))
            .args(["serve", "--config"])
            .arg(&config)
            .env("RUST_LOG", "off")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(service.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned() + "v1/";
        Bench {
            directory,
            service,
            url,
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("bench").join(name)
    }

    /// Signs the export as the issuer and imports it.
    pub(crate) fn enroll(&self, factory: &Factory) {
        let export = self.directory.path().join("export.json");
        let signed = self.directory.path().join("signed.assert");
        fs::write(&export, factory.export()).unwrap();
        let mut sign = Command::new(program("hardware-identity"));
        sign.args(["sign", "--key"]).arg(self.file("keys/issuer.pem"));
        succeed(sign.arg("--output").arg(&signed).arg(&export));
        let mut import = Command::new(program("model-service"));
        import
            .arg("import")
            .arg("--config")
            .arg(self.file("model-service.toml"));
        succeed(import.arg(&signed));
    }

    pub(crate) fn onboard(&self, directory: &Path, arguments: &[&str]) -> Output {
        self.onboard_by(&self.url, directory, arguments)
    }

    /// With another address in place of the service's.
    pub(crate) fn onboard_by(&self, url: &str, directory: &Path, arguments: &[&str]) -> Output {
        Command::new(program("testbed"))
            .args(["onboard", "--prepare-device", PREPARE_DEVICE])
            .args(["--prepare-serial-request", PREPARE_SERIAL_REQUEST])
            .args(["--device-service-url", url, "--poll-seconds", "0"])
            .arg("--model")
            .arg(self.file("assertions/example-box.model"))
            .arg("--account-key")
            .arg(self.file("assertions/serial.account-key"))
            .arg("--device-folder")
            .arg(directory)
            .args(arguments)
            .env_remove("TCTI")
            .output()
            .unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
}

/// A device on the factory line, kept in a directory for later steps.
pub(crate) struct Factory {
    directory: TempDir,
    /// Variables for hooks and tool.
    variables: Vec<(&'static str, String)>,
}

impl Factory {
    pub(crate) fn new(settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Device::kept_in(directory.path())
            .unwrap()
            .write_settings(settings)
            .unwrap();
        // A key of its own would take seconds to make.
        let key = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/crates/snap-assertions/tests/vectors/device.pk8"
        );
        let mut convert = Command::new("openssl");
        convert.args(["pkey", "-inform", "DER", "-in", key, "-out"]);
        succeed(convert.arg(directory.path().join("device-key.pem")));
        Factory {
            directory,
            variables: Vec::new(),
        }
    }

    /// A device with variables for a PKCS#11 module.
    #[cfg(feature = "pkcs11")]
    pub(crate) fn with_variables(settings: &str, variables: &[(&'static str, String)]) -> Self {
        let mut factory = Factory::new(settings);
        factory.variables = variables.to_vec();
        factory
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn device(&self) -> Device {
        Device::kept_in(self.directory()).unwrap()
    }

    pub(crate) fn export(&self) -> Vec<u8> {
        let (device, tpm) = (
            self.device(),
            TestTpm::kept_in(&self.directory().join("tpm")).unwrap(),
        );
        let mut hook = device.hook(Path::new(PREPARE_DEVICE)).env("TCTI", tpm.tcti());
        for (name, value) in &self.variables {
            hook = hook.env(name, value);
        }
        assert!(hook.run().unwrap().status.success());
        let mut export = Command::new(program("hardware-identity"));
        export
            .args([
                "export",
                "--issuer-id",
                "example-issuer",
                "--manufacturer",
                "Example",
            ])
            .args(["--hardware-name", "example-box", "--hardware-id", "key-digest"])
            .env("TCTI", tpm.tcti())
            .env("SNAP", device.snap())
            .env("SNAP_SAVE_DATA", device.save_data())
            .envs(self.variables.clone());
        succeed(&mut export).stdout
    }
}
