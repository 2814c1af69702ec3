//! `hardware-identity sign` with each kind of signing key, compared with assertions that snapd made
//! with the same key for the same time.

#![allow(clippy::unwrap_used)]

mod gnupg;
mod key_manager;
mod pem;
mod pkcs11;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use snap_assertions::{Assertion, PublicKey, decode};
use tempfile::TempDir;

/// When snapd signed the vectors.
const TIME: &str = "2026-11-21T18:00:29Z";
const ASSERTION: &str = "hardware-identity-p256";

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../snap-assertions/tests/vectors")
}

fn vector(name: &str) -> String {
    fs::read_to_string(vectors().join(name)).unwrap()
}

fn issuer() -> PublicKey {
    PublicKey::decode(&vector("issuer.public-key")).unwrap()
}

/// A directory with keys that nobody else can read.
struct World {
    directory: TempDir,
}

impl World {
    fn new() -> Self {
        World {
            directory: tempfile::Builder::new().prefix("hi").tempdir_in("/tmp").unwrap(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, content: &[u8], mode: u32) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// What openssl makes of `arguments`, in a file of its own that only its owner can read.
    fn openssl(&self, name: &str, arguments: &[&str]) -> String {
        let made = run(Command::new("openssl").args(arguments), b"");
        self.write(name, &made, 0o600)
    }

    /// The vectors' issuer key in PEM, PKCS#8.
    fn issuer_key(&self) -> String {
        let der = vectors().join("issuer.pk8");
        self.openssl(
            "issuer.pem",
            &["pkey", "-inform", "DER", "-in", der.to_str().unwrap()],
        )
    }
}

/// Runs a program that has to succeed.
fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let output = run_any(command, input);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    output.stdout
}

fn run_any(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that fails early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// `hardware-identity sign` in an environment that names no key.
fn sign(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hardware-identity"));
    command.arg("sign").args(arguments).args(["--timestamp", TIME]);
    for name in [
        "SNAPD_EXT_KEYMGR",
        "SNAP_GNUPG_HOME",
        "SNAP_GNUPG_CMD",
        "PKCS11_PIN",
    ] {
        command.env_remove(name);
    }
    command
}

/// The assertion that `command` makes of the vector.
fn signed(command: &mut Command) -> String {
    let output = run_any(command, vector(&format!("{ASSERTION}.json")).as_bytes());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The same, byte for byte, as what snapd made.
fn signs_as_snapd(command: &mut Command) {
    assert_eq!(signed(command), vector(&format!("{ASSERTION}.assert")));
}

/// Several threads at once share the key, and still sign as snapd does.
fn signs_in_parallel(mut command: Command) {
    let names = [ASSERTION, "hardware-identity-p384", "hardware-identity-rsa2048"];
    let input = names.map(|name| vector(&format!("{name}.json"))).join("\n");
    let expected = names.map(|name| vector(&format!("{name}.assert"))).join("\n");
    let output = run(command.args(["--jobs", "3"]), input.as_bytes());
    assert_eq!(String::from_utf8(output).unwrap(), expected);
}

fn signed_assertion(command: &mut Command) -> Assertion {
    decode(signed(command).as_bytes()).unwrap()
}

/// Status 1 to 3, nothing on stdout, and one line on stderr with this code and all of `values`.
fn refused(command: &mut Command, code: &str, values: &[&str]) {
    let output = run_any(command, vector(&format!("{ASSERTION}.json")).as_bytes());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(1..=3)), "{stderr}");
    assert!(output.stdout.is_empty(), "{stderr}");
    assert!(stderr.ends_with(&format!(" [{code}]\n")), "{code}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for value in values {
        assert!(stderr.contains(value), "`{value}` is missing: {stderr}");
    }
}

#[test]
fn exactly_one_key_has_to_be_given() {
    for arguments in [
        &[][..],
        &["--key", "a", "--gpg-key", "b"],
        &["--key", "a", "--pkcs11", "pkcs11:"],
        &["--gpg-key", "a", "--key-name", "b"],
        &["--key-manager", "a"],
        &["--key", "a", "--key-manager", "b"],
        &["--key", "a", "--pin-file", "b"],
        &["--key", "a", "--signer-timeout", "0"],
    ] {
        let output = run_any(&mut sign(arguments), b"");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
