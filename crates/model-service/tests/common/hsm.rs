//! An HSM, which SoftHSM plays, and an external key manager.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::{Bench, PROGRAM, Service, pem, serve_by};

pub const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
pub const PIN: &str = "123456";

/// A bench whose serial key, the brand's, is in a token of its own.
pub struct HsmBench {
    pub bench: Bench,
}

impl HsmBench {
    pub fn new(limits: &str) -> Self {
        let hsm = Self {
            bench: Bench::with("", limits),
        };
        fs::create_dir(hsm.bench.path("tokens")).unwrap();
        let tokens = hsm.bench.path("tokens");
        let config = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\n",
            tokens.display()
        );
        hsm.bench.write("softhsm2.conf", config.as_bytes());
        hsm.bench.write("pin", PIN.as_bytes());
        hsm.util(&[
            "--init-token",
            "--free",
            "--label",
            "brand",
            "--pin",
            PIN,
            "--so-pin",
            "654321",
        ]);
        let key = hsm.bench.write("imported.pem", pem("brand").as_bytes());
        hsm.util(&[
            "--import",
            key.to_str().unwrap(),
            "--token",
            "brand",
            "--label",
            "serials",
            "--id",
            "01",
            "--pin",
            PIN,
        ]);
        fs::remove_file(key).unwrap();
        let pin = hsm.bench.path("pin");
        let uri = format!(
            "\"pkcs11:token=brand;object=serials?module-path={MODULE}&pin-source=file:{}\"",
            pin.display()
        );
        hsm.bench.set_serial_key(&uri);
        hsm
    }

    fn util(&self, arguments: &[&str]) {
        let mut util = Command::new("softhsm2-util");
        let output = util.args(arguments).env("SOFTHSM2_CONF", self.config()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn config(&self) -> std::path::PathBuf {
        self.bench.path("softhsm2.conf")
    }

    pub fn command(&self, command: &str) -> Command {
        let mut program = Command::new(PROGRAM);
        program
            .args([command, "--config"])
            .arg(self.bench.path("settings.toml"))
            .env("SOFTHSM2_CONF", self.config())
            .env_remove("PKCS11_PIN");
        program
    }

    pub fn serve(&self) -> Service {
        serve_by(&mut self.command("serve"))
    }

    /// Takes the token out of the HSM.
    pub fn remove(&self) {
        fs::rename(self.bench.path("tokens"), self.bench.path("away")).unwrap();
    }

    /// Puts the token back.
    pub fn put_back(&self) {
        fs::rename(self.bench.path("away"), self.bench.path("tokens")).unwrap();
    }
}

/// Makes a key manager with the brand's key. It hangs while the file `hang` exists, and signs one
/// after the other, half a second each, while the file `slow` exists.
pub fn key_manager(bench: &Bench) {
    bench.write("managed.pem", pem("brand").as_bytes());
    let script = "#!/bin/sh
cd \"$(dirname \"$0\")\" || exit 1
[ ! -e hang ] || sleep 1000
[ \"$1\" != sign ] || [ ! -e slow ] || flock slow sleep 0.5
case $1 in
features) echo '{\"signing\": [\"RSA-PKCS\"], \"public-keys\": [\"DER\"]}' ;;
get-public-key) openssl rsa -in managed.pem -pubout -outform DER 2> /dev/null ;;
sign) tail -c 64 | openssl pkeyutl -sign -inkey managed.pem -pkeyopt digest:sha512 ;;
esac
";
    let path = bench.write("keys.sh", script.as_bytes());
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    bench.set_serial_key("{ key-name = \"serial\", key-manager = \"./keys.sh\" }");
}

/// Waits until `done` returns true; fails after a minute.
#[track_caller]
pub fn until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "it did not happen");
        thread::sleep(Duration::from_millis(100));
    }
}

/// The processes that sign for the service.
pub fn signing_processes(service: &Service) -> Vec<u32> {
    let pid = service.child.id();
    let children = Path::new("/proc").join(format!("{pid}/task"));
    let mut found = Vec::new();
    for thread in fs::read_dir(children).unwrap() {
        let list = fs::read_to_string(thread.unwrap().path().join("children")).unwrap_or_default();
        found.extend(list.split_whitespace().map(|child| child.parse::<u32>().unwrap()));
    }
    found
}
