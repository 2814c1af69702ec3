//! Signatures that take long.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use serde_json::json;

use crate::device::LineDevice;
use crate::line::{FactoryLine, LINE_HEADERS, PASSWORD, TOKEN};
use crate::station::verified;
use crate::succeeded;

/// A key manager that says when it is asked for a signature, and makes it when it is told to.
const KEY_MANAGER: &str = concat!(
    "#!/bin/sh\n\
     if [ \"$1\" = sign ]; then echo >asked; read -r _ <told; fi\n\
     KEY=issuer.pem exec ",
    env!("CARGO_MANIFEST_DIR"),
    "/crates/cli/tests/signers/key-manager.sh \"$@\"\n"
);

/// Tells the key manager to make both signatures, also when the test fails.
struct Told<'a>(&'a File);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.write_all(b"\n\n").unwrap();
    }
}

#[test]
fn others_do_not_wait_for_a_signature() {
    let line = FactoryLine::without_roots();
    let devices = ["SN-1", "SN-2"].map(LineDevice::uncertified);
    line.list(&devices);
    fs::write(line.path("key-manager"), KEY_MANAGER).unwrap();
    fs::set_permissions(line.path("key-manager"), fs::Permissions::from_mode(0o755)).unwrap();
    line.shell("mkfifo asked told");
    // Opened for both, so that neither end waits for the other.
    let told = OpenOptions::new().read(true).write(true).open(line.path("told"));
    let told = told.unwrap();
    let arguments = [
        "--batch",
        "batch",
        "--ek-list",
        "list.csv",
        "--key-name",
        "issuer",
        "--key-manager",
        "./key-manager",
        "--output",
        "signed.assert",
        "--page-password-file",
        "password",
    ];
    let station = line.serve(&[&arguments[..], &LINE_HEADERS].concat());
    thread::scope(|scope| {
        let told = Told(&told);
        let first = scope.spawn(|| line.prove(&station, &devices[0], &[]));
        fs::read(line.path("asked")).unwrap();
        let request = json!({
            "export": line.files.json("exports/SN-2.json"),
            "evidence": line.files.json("exports/SN-2.evidence.json"),
        });
        let (status, challenge) = station.post("/v1/challenge", &request);
        assert_eq!(status, 200, "{challenge}");
        let (status, _) = station.curl("/", &["-u", &format!("line:{PASSWORD}")]);
        assert_eq!(status, 200);
        let (status, _) = station.curl("/", &["-u", &format!("line:{TOKEN}")]);
        assert_eq!(status, 401, "the token is not the password");
        assert_eq!(line.lot()["done"], 0);
        // The other device is signed at the same time.
        let second = scope.spawn(|| line.prove(&station, &devices[1], &[]));
        fs::read(line.path("asked")).unwrap();
        drop(told);
        succeeded(&first.join().unwrap());
        succeeded(&second.join().unwrap());
    });
    assert_eq!(verified(&line.path("signed.assert")), 2);
}
