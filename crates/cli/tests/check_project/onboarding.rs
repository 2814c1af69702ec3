//! From the project to the serial: the lines are applied, the gadget is packed as snapcraft does
//! it, and a simulated device registers with it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::page;
use crate::prime::Prime;
use crate::project::Project;

/// A program of another package of the workspace; cargo builds all of them into one directory.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_hardware-identity")).with_file_name(name);
    assert!(
        path.exists(),
        "{} is missing; run cargo build --workspace",
        path.display()
    );
    path
}

#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A running model service, and a device on the factory line.
struct Bench {
    directory: TempDir,
    service: Child,
    url: String,
}

impl Bench {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bench = directory.path().join("bench");
        succeed(Command::new(program("model-service")).arg("init").arg(&bench));
        let config = bench.join("model-service.toml");
        let settings = fs::read_to_string(&config).unwrap();
        fs::write(&config, settings.replace("127.0.0.1:8650", "127.0.0.1:0")).unwrap();
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
        let bench = Bench {
            directory,
            service,
            url,
        };
        bench.make_device_key();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A device key of its own would take seconds to create.
    fn make_device_key(&self) {
        let key = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../snap-assertions/tests/vectors/device.pk8"
        );
        fs::create_dir(self.path("device")).unwrap();
        let mut convert = Command::new("openssl");
        convert.args(["pkey", "-inform", "DER", "-in", key, "-out"]);
        succeed(convert.arg(self.path("device/device-key.pem")));
    }

    fn testbed(&self, command: &str, gadget: &Path) -> Command {
        let mut testbed = Command::new(program("testbed"));
        testbed.arg(command).arg("--gadget").arg(gadget);
        testbed.arg("--device-folder").arg(self.path("device"));
        testbed.env_remove("TCTI");
        testbed
    }

    /// A factory boot exports the identity; the issuer signs it, and the service imports it.
    fn enroll(&self, gadget: &Path) {
        let export = self.path("export.json");
        let mut install = self.testbed("hook", gadget);
        for option in [
            &format!("factory.export=file:{}", export.display()),
            "issuer-id=example-issuer",
            "manufacturer=Example",
            "hardware-name=example-box",
            "hardware-id=key-digest",
        ] {
            install.args(["--set", &format!("hardware-identity.{option}")]);
        }
        succeed(install.args(["--system-mode", "install", "--factory", "install-device"]));
        let signed = self.path("signed.assert");
        let mut sign = Command::new(program("hardware-identity"));
        sign.args(["sign", "--key"])
            .arg(self.path("bench/keys/issuer.pem"));
        succeed(sign.arg("--output").arg(&signed).arg(&export));
        let mut import = Command::new(program("model-service"));
        import.args(["import", "--config"]);
        succeed(import.arg(self.path("bench/model-service.toml")).arg(&signed));
    }

    fn onboard(&self, gadget: &Path) -> Output {
        self.testbed("onboard", gadget)
            .args(["--device-service-url", &self.url, "--poll-seconds", "0"])
            .arg("--model")
            .arg(self.path("bench/assertions/example-box.model"))
            .arg("--account-key")
            .arg(self.path("bench/assertions/serial.account-key"))
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

/// Packs the project, checks the snap, and registers a device with it.
fn registers(project: &Project) {
    project.check().is_clean();
    let packed = Prime::of(project).packed();
    let mut check = Command::new(program("hardware-identity"));
    let checked = check
        .args(["check-gadget", "--json"])
        .arg(packed.snap())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(report["findings"].as_array().map(Vec::len), Some(0), "{report:#}");

    let (bench, gadget) = (Bench::start(), packed.unpacked());
    succeed(bench.testbed("hook", &gadget).arg("configure"));
    bench.enroll(&gadget);
    let output = bench.onboard(&gadget);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let serial = snap_assertions::decode(&output.stdout).unwrap();
    assert_eq!(serial.header("serial").map(str::len), Some(64), "{log}");
}

#[test]
fn the_plain_gadget_of_the_page_registers() {
    registers(&page::project("plain"));
}

/// The project of the page, as it is before the hardware identity.
#[test]
fn the_gadget_with_own_hooks_registers_after_its_lines() {
    let project = page::with_own_hooks();
    project.apply(&project.check());
    project.fill_in();
    registers(&project);
}

/// The same project after section 1 of the page, which does not know of its hooks.
#[test]
fn hooks_that_replace_those_of_the_part_are_found_and_call_them_after_the_lines() {
    let project = page::with_own_hooks();
    let plain = page::snippet("plain/snap/snapcraft.yaml");
    let between = |from: &str, to: &str| {
        let (_, rest) = plain.split_once(from).unwrap();
        rest.split_once(to).map_or(rest, |(text, _)| text).to_owned()
    };
    let hooks = between("hooks:\n", "\n#").replace("  prepare-device:\n    plugs: [tpm]\n", "");
    project.edit("snapcraft.yaml", "hooks:\n", &format!("hooks:\n{hooks}"));
    project.edit(
        "snapcraft.yaml",
        "  prepare-device:\n",
        "  prepare-device:\n    plugs: [tpm]\n",
    );
    project.edit("snapcraft.yaml", "snapd2.63", "snapd2.74");
    let part = between("source: boot\n\n", "NOTHING");
    project.edit("snapcraft.yaml", "parts:\n", &format!("parts:\n{part}"));
    let apps = between("apps:\n", "\nparts:");
    project.edit("snapcraft.yaml", "parts:\n", &format!("apps:\n{apps}parts:\n"));
    let settings = "hardware-identity/hardware-identity.toml";
    project.write(settings, &page::snippet(&format!("plain/{settings}")));
    let connections = page::snippet("plain/gadget.yaml");
    let (_, connections) = connections.split_once("\nconnections:").unwrap();
    let gadget_yaml = "gadget/gadget-amd64.yaml";
    project.write(
        gadget_yaml,
        &format!("{}connections:{connections}", project.read(gadget_yaml)),
    );

    let checked = project.check();
    let expected = [
        "error shadowed-hook snap/hooks/prepare-device",
        "warning shadowed-hook snap/hooks/configure",
    ];
    assert_eq!(checked.findings(), expected);
    // As it is, the device gets no identity.
    let prime = Prime::of(&project);
    let bench = Bench::start();
    succeed(bench.testbed("hook", prime.root()).arg("prepare-device"));
    assert!(!bench.onboard(prime.root()).status.success());

    project.apply(&checked);
    let source = project.read("snapcraft.yaml");
    assert!(!source.contains("snap/hooks/configure") && source.contains("snap/hooks/install-device"));
    registers(&project);
}
