//! Keys in GnuPG, where `snap create-key` puts them.

use std::fs;
use std::process::Command;

use snap_assertions::{Decoder, DigestForm, Statement, decode};

use crate::{World, refused, run, sign, signed_assertion, vector};

/// A keyring with RSA keys; its agent ends with it.
struct Keyring {
    world: World,
}

impl Keyring {
    /// With keys of these names and sizes, made as `snap create-key` makes them.
    fn new(keys: &[(&str, u32)]) -> Self {
        let keyring = Keyring { world: World::new() };
        for (name, bits) in keys {
            keyring.generate(&format!(
                "Key-Type: RSA\nKey-Length: {bits}\nName-Real: {name}\nCreation-Date: seconds=1451606400\n"
            ));
        }
        keyring
    }

    fn generate(&self, parameters: &str) {
        let parameters = format!("%no-protection\n{parameters}Preferences: SHA512\n");
        run(self.gpg().args(["--batch", "--gen-key"]), parameters.as_bytes());
    }

    fn home(&self) -> &str {
        self.world.directory.path().to_str().unwrap()
    }

    fn gpg(&self) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.args(["--homedir", self.home(), "-q"]);
        gpg
    }

    fn sign(&self, name: &str) -> Command {
        let mut command = sign(&["--gpg-key", name]);
        command.env("SNAP_GNUPG_HOME", self.home());
        command
    }

    fn stop_agent(&self) {
        let mut gpgconf = Command::new("gpgconf");
        run(gpgconf.args(["--homedir", self.home(), "--kill", "all"]), b"");
    }

    fn signs_in_parallel(&self) {
        let names = ["p256", "p384", "rsa2048"];
        let input = names.map(|name| vector(&format!("hardware-identity-{name}.json")));
        let mut command = self.sign("issuer");
        let output = run(command.args(["--jobs", "3"]), input.join("\n").as_bytes());
        let signed = Decoder::new(&output[..]).filter_map(Result::ok);
        assert_eq!(signed.count(), names.len());
    }

    fn fingerprints(&self) -> Vec<String> {
        let list = run(self.gpg().args(["--list-secret-keys", "--with-colons"]), b"");
        let list = String::from_utf8(list).unwrap();
        let lines = list.lines().filter(|line| line.starts_with("fpr:"));
        lines
            .map(|line| line.split(':').nth(9).unwrap().to_owned())
            .collect()
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .args(["--homedir", self.home(), "--kill", "all"])
            .status();
    }
}

#[test]
fn gnupg_signs_and_verifies() {
    // Without a name GnuPG would use the first key.
    let keyring = Keyring::new(&[("first", 4096), ("issuer", 4096)]);
    // Settings that would change what gpg writes do not reach the signature.
    keyring.world.write(
        "gpg.conf",
        b"armor\ndigest-algo SHA256\ndefault-key first\n",
        0o600,
    );
    let assertion = signed_assertion(&mut keyring.sign("issuer"));
    let signature = assertion.signature().unwrap().to_bytes();
    let signature = keyring.world.write("signature", &signature, 0o600);
    let data = keyring.world.write("data", assertion.content().as_bytes(), 0o600);
    let mut verify = keyring.gpg();
    verify.args(["--status-fd", "1", "--verify", &signature, &data]);
    let status = String::from_utf8(run(&mut verify, b"")).unwrap();
    let fingerprint = &keyring.fingerprints()[1];
    assert!(status.contains(&format!("VALIDSIG {fingerprint}")), "{status}");
}

#[test]
fn several_threads_share_one_agent() {
    let keyring = Keyring::new(&[("issuer", 4096)]);
    // The threads may race to start it.
    keyring.stop_agent();
    keyring.signs_in_parallel();
}

/// Answers the agent in place of a person, who is slow enough that the other threads come to ask too; notes that it did.
const PINENTRY: &str = r#"#!/bin/sh
echo OK
while read -r command rest; do
    if [ "$command" = GETPIN ]; then
        echo asked >>"${0%/*}/asked"
        sleep 1
        echo D secret
    fi
    echo OK
done
"#;

#[test]
fn the_passphrase_is_asked_for_once() {
    let keyring = Keyring { world: World::new() };
    let pinentry = keyring.world.write("pinentry", PINENTRY.as_bytes(), 0o700);
    let agent = format!("pinentry-program {pinentry}\n");
    keyring.world.write("gpg-agent.conf", agent.as_bytes(), 0o600);
    let parameters = "Key-Type: RSA\nKey-Length: 4096\nName-Real: issuer\nPassphrase: secret\n";
    let mut generate = keyring.gpg();
    generate.args(["--batch", "--pinentry-mode", "loopback", "--gen-key"]);
    run(&mut generate, parameters.as_bytes());
    keyring.stop_agent();
    keyring.signs_in_parallel();
    assert_eq!(
        fs::read_to_string(keyring.world.path("asked")).unwrap(),
        "asked\n"
    );
}

/// snapd uses the primary key alone; GnuPG alone prefers a subkey that can sign.
#[test]
fn a_signing_subkey_is_not_used() {
    let keyring = Keyring { world: World::new() };
    keyring.generate(
        "Key-Type: RSA\nKey-Length: 4096\nKey-Usage: sign\nName-Real: issuer\nSubkey-Type: RSA\nSubkey-Length: 2048\n\
         Subkey-Usage: sign\n",
    );
    signed_assertion(&mut keyring.sign("issuer"));
}

#[test]
fn an_unusable_key_is_refused() {
    let keyring = Keyring::new(&[("small", 2048), ("twin", 2048), ("twin", 2048)]);
    keyring.generate("Key-Type: EDDSA\nKey-Curve: ed25519\nName-Real: curve\n");
    refused(
        &mut keyring.sign("small"),
        "signing-key-too-small",
        &["\"small\"", "2048"],
    );
    refused(&mut keyring.sign("curve"), "gnupg-key-not-rsa", &["\"curve\""]);
    refused(
        &mut keyring.sign("smal"),
        "gnupg-key-unknown",
        &["\"smal\"", "small, twin, twin, curve"],
    );
    let fingerprints = keyring.fingerprints();
    refused(
        &mut keyring.sign("twin"),
        "gnupg-key-ambiguous",
        &["\"twin\"", &fingerprints[1], &fingerprints[2]],
    );
    refused(&mut keyring.sign(&fingerprints[2]), "signing-key-too-small", &[]);
    refused(
        keyring.sign("small").env("SNAP_GNUPG_CMD", "/no/gpg"),
        "signer-program-not-started",
        &["/no/gpg", "--list-secret-keys"],
    );
    refused(
        keyring.sign("small").env("SNAP_GNUPG_CMD", "false"),
        "signer-program-failed",
        &["`false --homedir", "exit status: 1"],
    );
    let empty = Keyring::new(&[]);
    refused(
        &mut empty.sign("small"),
        "gnupg-keyring-empty",
        &["snap create-key"],
    );
    let mut absent = sign(&["--gpg-key", "small"]);
    absent.env("HOME", empty.home());
    refused(
        &mut absent,
        "gnupg-no-keyring",
        &[".snap/gnupg", "snap create-key", "SNAP_GNUPG_HOME"],
    );
}

/// Debian 12's snapd does not know hardware-identity, and the tool signs nothing else; the rules of the text are the same
/// for all types.
#[test]
fn debians_snap_sign_makes_the_same_text() {
    let keyring = Keyring::new(&[("issuer", 4096)]);
    let headers = vector("model.json");
    let mut snap = Command::new("snap");
    snap.args(["sign", "-k", "issuer"])
        .env("SNAP_GNUPG_HOME", keyring.home());
    let theirs = decode(&run(&mut snap, headers.as_bytes())).unwrap();
    let ours = Statement::from_json(&headers).unwrap();
    let ours = ours.content(theirs.sign_key_id(), DigestForm::Text).unwrap();
    assert_eq!(ours, theirs.content());
}
