//! The issuer's station: directories for exports, challenges and answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::bench::succeed;
use crate::common::program;
use crate::device::{Ca, LineDevice};
use crate::succeeded;

pub(crate) struct Station {
    directory: TempDir,
}

impl Station {
    /// A station that trusts this CA.
    pub(crate) fn new(ca: &Ca) -> Self {
        let station = Station::without_roots();
        // The CA exists only after its first certificate.
        ca.copy_roots(&station.path("roots"));
        station
    }

    pub(crate) fn without_roots() -> Self {
        let station = Station {
            directory: tempfile::tempdir().unwrap(),
        };
        for name in ["exports", "answers"] {
            fs::create_dir(station.path(name)).unwrap();
        }
        let key = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/crates/snap-assertions/tests/vectors/issuer.pk8"
        );
        let mut convert = Command::new("openssl");
        convert.args(["pkey", "-inform", "DER", "-in", key, "-out"]);
        succeed(convert.arg(station.path("issuer.pem")));
        station
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the tool in the station's directory.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Output {
        Command::new(program("hardware-identity"))
            .current_dir(self.directory.path())
            .args(arguments)
            .env_clear()
            .output()
            .unwrap()
    }

    /// Runs a shell script with the tool as `"$0"`, in the station's directory.
    pub(crate) fn shell(&self, script: &str, arguments: &[&str]) -> Output {
        Command::new("sh")
            .current_dir(self.directory.path())
            .args(["-c", script])
            .arg(program("hardware-identity"))
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Challenges the batch with the roots.
    pub(crate) fn challenge(&self, batch: &str, further: &[&str]) -> Output {
        self.challenge_with(batch, &[&["--ek-roots", "roots"], further].concat())
    }

    pub(crate) fn challenge_with(&self, batch: &str, further: &[&str]) -> Output {
        let arguments = [
            "challenge",
            "--batch",
            batch,
            "--output-dir",
            "challenges",
            "exports",
        ];
        self.tool(&[&arguments, further].concat())
    }

    /// Signs the batch with the ledger in its directory, unless `further` names another.
    pub(crate) fn sign(&self, batch: &str, further: &[&str]) -> Output {
        let of_batch = format!("{batch}/ledger.jsonl");
        let ledger = match further.contains(&"--ledger") {
            true => vec![],
            false => vec!["--ledger", &of_batch],
        };
        self.sign_without_ledger(batch, &[&ledger, further].concat())
    }

    pub(crate) fn sign_without_ledger(&self, batch: &str, further: &[&str]) -> Output {
        let arguments = [
            "sign",
            "--key",
            "issuer.pem",
            "--output",
            "signed.assert",
            "--require-proof",
        ];
        let proof = ["--batch", batch, "--answers", "answers", "exports"];
        self.tool(&[&arguments[..], &proof, further].concat())
    }

    /// Exports the device to the station.
    pub(crate) fn export(&self, device: &LineDevice, further: &[&str]) {
        succeeded(&device.export(&self.path("exports"), further));
    }

    /// Lets the device answer its challenge.
    pub(crate) fn activate(&self, device: &LineDevice) -> Output {
        let challenge = self
            .path("challenges")
            .join(format!("{}.challenge.json", device.id));
        let answer = self.path("answers").join(format!("{}.answer.json", device.id));
        device.activate(&challenge, &answer)
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// Changes a member of a message.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut message = self.json(name);
        change(&mut message);
        fs::write(self.path(name), message.to_string()).unwrap();
    }

    /// The lines of a ledger.
    pub(crate) fn ledger(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(name)).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub(crate) fn exchange(&self, one: &str, other: &str) {
        let [one, other] = [one, other].map(|name| self.path(name));
        let content = fs::read(&one).unwrap();
        fs::copy(&other, one).unwrap();
        fs::write(other, content).unwrap();
    }

    pub(crate) fn files(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).into_iter().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// The number of assertions that `verify` accepts in a file.
pub(crate) fn verified(file: &Path) -> usize {
    let key = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/crates/snap-assertions/tests/vectors/account-key-issuer.assert"
    );
    let output = Command::new(program("hardware-identity"))
        .args(["verify", "--json", "--issuer-key", key])
        .arg(file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter(|line| line.contains("\"hardware-id\""))
        .count()
}
