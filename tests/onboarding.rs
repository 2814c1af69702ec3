//! From the factory to the serial assertion: the real hooks, tool and model service, and the testbed in snapd's place.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use common::{HARDWARE_IDENTITY, PREPARE_DEVICE, PREPARE_SERIAL_REQUEST};
use serde_json::Value;
use tempfile::TempDir;
use testbed::{Device, TestTpm};

/// A program of another package of the workspace, which stands beside this one's.
fn program(name: &str) -> PathBuf {
    let path = Path::new(HARDWARE_IDENTITY).with_file_name(name);
    assert!(
        path.exists(),
        "{} is not there; run cargo build --workspace",
        path.display()
    );
    path
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A running model service, with the keys of its bench.
struct Bench {
    folder: TempDir,
    service: Child,
    url: String,
}

impl Bench {
    fn start() -> Self {
        Self::start_with("")
    }

    /// With further settings at the end.
    fn start_with(further: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bench = folder.path().join("bench");
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
        Bench { folder, service, url }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("bench").join(name)
    }

    /// What the factory does: the export is signed by the issuer and imported.
    fn enroll(&self, factory: &Factory) {
        let export = self.folder.path().join("export.json");
        let signed = self.folder.path().join("signed.assert");
        fs::write(&export, factory.export()).unwrap();
        let mut sign = Command::new(HARDWARE_IDENTITY);
        sign.args(["sign", "--key"]).arg(self.file("keys/issuer.pem"));
        succeed(sign.arg("--output").arg(&signed).arg(&export));
        let mut import = Command::new(program("model-service"));
        import
            .arg("import")
            .arg("--config")
            .arg(self.file("model-service.toml"));
        succeed(import.arg(&signed));
    }

    fn onboard(&self, folder: &Path, arguments: &[&str]) -> Output {
        Command::new(program("testbed"))
            .args(["onboard", "--prepare-device", PREPARE_DEVICE])
            .args(["--prepare-serial-request", PREPARE_SERIAL_REQUEST])
            .args(["--device-service-url", &self.url, "--poll-seconds", "0"])
            .arg("--model")
            .arg(self.file("assertions/example-box.model"))
            .arg("--account-key")
            .arg(self.file("assertions/serial.account-key"))
            .arg("--device-folder")
            .arg(folder)
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

/// A device on the factory line, kept in a folder for what comes later.
struct Factory {
    folder: TempDir,
}

impl Factory {
    fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Device::kept_in(folder.path())
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
        succeed(convert.arg(folder.path().join("device-key.pem")));
        Factory { folder }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn device(&self) -> Device {
        Device::kept_in(self.folder()).unwrap()
    }

    fn export(&self) -> Vec<u8> {
        let (device, tpm) = (
            self.device(),
            TestTpm::kept_in(&self.folder().join("tpm")).unwrap(),
        );
        let hook = device.hook(Path::new(PREPARE_DEVICE)).env("TCTI", tpm.tcti());
        assert!(hook.run().unwrap().status.success());
        let mut export = Command::new(HARDWARE_IDENTITY);
        export
            .args([
                "export",
                "--issuer-id",
                "example-issuer",
                "--manufacturer",
                "Example",
            ])
            .args(["--hardware-name", "box", "--hardware-id", "key-digest"])
            .env("TCTI", tpm.tcti())
            .env("SNAP", device.snap())
            .env("SNAP_SAVE_DATA", device.save_data());
        succeed(&mut export).stdout
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The serial that stands alone on stdout.
fn serial(output: &Output) -> snap_assertions::Assertion {
    assert!(output.status.success(), "{}", stderr(output));
    snap_assertions::decode(&output.stdout).unwrap()
}

#[test]
fn each_algorithm_in_both_digest_forms() {
    let bench = Bench::start();
    for algorithm in ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072"] {
        for form in ["text", "der"] {
            let settings = format!(
                "algorithm = \"{algorithm}\"\ndigest-form = \"{form}\"\n[registration]\nproposed-serial = \"key-digest\"\n"
            );
            let factory = Factory::new(&settings);
            bench.enroll(&factory);
            let output = bench.onboard(factory.folder(), &[]);
            let log = stderr(&output);
            assert!(log.contains("its signature is right"), "{log}");
            let digest =
                factory.device().config("registration.body").unwrap().unwrap()["hardware-id-key-sha3-384"]
                    .clone();
            assert_eq!(
                serial(&output).header("serial").map(Value::from),
                Some(digest),
                "{algorithm} {form}"
            );
        }
    }
}

#[test]
fn a_device_registers_again_with_the_same_identity() {
    let bench = Bench::start();
    let factory = Factory::new("");
    let unknown = bench.onboard(factory.folder(), &["--proposed-serial", "SN-1"]);
    let log = stderr(&unknown);
    assert_eq!(unknown.status.code(), Some(1), "{log}");
    let last = log.lines().last().unwrap();
    assert!(
        unknown.stdout.is_empty() && last.contains("serial refused with 403: "),
        "{log}"
    );

    bench.enroll(&factory);
    let first = bench.onboard(factory.folder(), &["--proposed-serial", "SN-1"]);
    assert_eq!(serial(&first).header("serial"), Some("SN-1"));
    // The disk is wiped; the TPM is what is left.
    for name in ["save", "data", "common", "state.json"] {
        let path = factory.folder().join(name);
        match path.is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }
    let again = bench.onboard(factory.folder(), &["--proposed-serial", "SN-2"]);
    assert_eq!(serial(&again).header("serial"), Some("SN-1"));
}

#[test]
fn a_serial_of_another_signer_is_not_taken() {
    let bench = Bench::start();
    let factory = Factory::new("");
    bench.enroll(&factory);
    let key = bench.file("assertions/brand.account-key");
    fs::copy(key, bench.file("assertions/serial.account-key")).unwrap();
    let output = bench.onboard(factory.folder(), &["--proposed-serial", "SN-1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no --account-key is for"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn over_https() {
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (made("tls.pem"), made("tls.key"));
    let mut openssl = Command::new("openssl");
    openssl
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=bench",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &certificate]);
    succeed(&mut openssl);
    let tls = format!("\n[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
    let bench = Bench::start_with(&tls);
    assert!(bench.url.starts_with("https://"), "{}", bench.url);
    let factory = Factory::new("");
    bench.enroll(&factory);
    let arguments = ["--proposed-serial", "SN-1", "--certificates", &certificate];
    assert_eq!(
        serial(&bench.onboard(factory.folder(), &arguments)).header("serial"),
        Some("SN-1")
    );

    let stranger = bench.onboard(factory.folder(), &["--proposed-serial", "SN-1", "--runs", "1"]);
    let log = stderr(&stranger);
    assert!(
        stranger.status.code() == Some(1) && log.contains("certificate"),
        "{log}"
    );
}
