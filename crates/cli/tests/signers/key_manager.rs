//! Keys behind an external key manager.

use std::process::Command;

use crate::{World, issuer, refused, sign, signed_assertion, signs_as_snapd, signs_in_parallel};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/signers/key-manager.sh");

/// With settings of the script, such as `FAULT=hang`.
fn managed(key: &str, settings: &str) -> Command {
    let mut command = sign(&["--key-manager", SCRIPT, "--key-name", "issuer"]);
    command.env("KEY", key);
    command.envs(
        settings
            .split_whitespace()
            .filter_map(|setting| setting.split_once('=')),
    );
    command
}

#[test]
fn rsa_pkcs_signs_as_snapd_does() {
    let world = World::new();
    signs_as_snapd(&mut managed(&world.issuer_key(), ""));
    signs_in_parallel(managed(&world.issuer_key(), ""));
}

#[test]
fn the_environment_may_name_the_key_manager() {
    let world = World::new();
    let key = world.issuer_key();
    let named = |variable: &str| {
        let mut command = sign(&["--key-name", "issuer"]);
        command.env("KEY", &key).env("SNAPD_EXT_KEYMGR", variable);
        command
    };
    signs_as_snapd(&mut named(SCRIPT));
    refused(&mut named(""), &["--key-manager", "SNAPD_EXT_KEYMGR"]);
    refused(
        &mut named("/no/such/program"),
        &["/no/such/program features", "cannot be started"],
    );
    // The command line stands over the environment.
    signs_as_snapd(managed(&key, "").env("SNAPD_EXT_KEYMGR", "/no/such/program"));
}

#[test]
fn openpgp_packets_are_taken_over() {
    let world = World::new();
    let assertion = signed_assertion(&mut managed(&world.issuer_key(), "MECHANISM=OPENPGP"));
    assertion.verify(&issuer()).unwrap();
}

#[test]
fn what_a_key_manager_does_wrong_is_said() {
    let world = World::new();
    let key = world.issuer_key();
    let cases: [(&str, &[&str]); 11] = [
        (
            "FAULT=fail",
            &[
                "sign -m RSA-PKCS -k issuer",
                "exit status: 3",
                "is gone",
                "key-names",
            ],
        ),
        ("FAULT=silent-failure", &["exit status: 4", "did not say why"]),
        (
            "FAULT=no-features",
            &["did not answer as a key manager does", "usage: hsm"],
        ),
        (
            "FAULT=no-public-key",
            &["the public key that", "is not a SubjectPublicKeyInfo in DER"],
        ),
        (
            "FAULT=garbage",
            &["gave 8 bytes where a signature by this key has 512"],
        ),
        (
            "FAULT=garbage MECHANISM=OPENPGP",
            &["as a signature", "Check the key manager"],
        ),
        ("FAULT=lie", &["does not fit"]),
        ("FAULT=lie MECHANISM=OPENPGP", &["does not fit"]),
        ("FAULT=flood", &["wrote more than 1 MiB"]),
        (
            "MECHANISM=ECDSA",
            &["neither by RSA-PKCS nor by OPENPGP", "ECDSA"],
        ),
        ("PUBLIC_KEYS=PEM", &["no public keys in the form DER", "PEM"]),
    ];
    for (settings, parts) in cases {
        refused(&mut managed(&key, settings), parts);
    }
    let small = world.openssl("small.pem", &["genrsa", "2048"]);
    refused(
        &mut managed(&small, ""),
        &["\"issuer\"", "has 2048 bits, at least 4096"],
    );
    let mut unknown = sign(&["--key-manager", SCRIPT, "--key-name", "other"]);
    refused(
        unknown.env("KEY", &key),
        &["get-public-key -f DER -k other", "no such key"],
    );
}

#[test]
fn a_key_manager_that_hangs_is_stopped() {
    let world = World::new();
    let mut hanging = managed(&world.issuer_key(), "FAULT=hang");
    let parts = ["did not end within 1 s and was stopped", "--signer-timeout"];
    refused(hanging.args(["--signer-timeout", "1"]), &parts);
}
