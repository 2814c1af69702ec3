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
    refused(
        &mut named(""),
        "no-key-manager",
        &["--key-manager", "SNAPD_EXT_KEYMGR"],
    );
    refused(
        &mut named("/no/such/program"),
        "signer-program-not-started",
        &["/no/such/program features"],
    );
    // The command line overrides the environment.
    signs_as_snapd(managed(&key, "").env("SNAPD_EXT_KEYMGR", "/no/such/program"));
}

#[test]
fn openpgp_packets_are_taken_over() {
    let world = World::new();
    let assertion = signed_assertion(&mut managed(&world.issuer_key(), "MECHANISM=OPENPGP"));
    assertion.verify(&issuer()).unwrap();
}

#[test]
fn a_wrong_answer_of_a_key_manager_is_refused() {
    let world = World::new();
    let key = world.issuer_key();
    let cases: [(&str, &str, &[&str]); 11] = [
        (
            "FAULT=fail",
            "signer-program-failed",
            &[
                "sign -m RSA-PKCS -k issuer",
                "exit status: 3",
                "HSM [0m is gone",
                "key-names",
            ],
        ),
        (
            "FAULT=silent-failure",
            "signer-program-failed",
            &["exit status: 4"],
        ),
        ("FAULT=no-features", "key-manager-bad-features", &["usage: hsm"]),
        (
            "FAULT=no-public-key",
            "key-manager-bad-public-key",
            &["SubjectPublicKeyInfo"],
        ),
        ("FAULT=garbage", "key-manager-bad-signature", &["512"]),
        ("FAULT=garbage MECHANISM=OPENPGP", "key-manager-bad-packet", &[]),
        ("FAULT=lie", "signer-signature-wrong", &[]),
        ("FAULT=lie MECHANISM=OPENPGP", "signer-signature-wrong", &[]),
        ("FAULT=flood", "signer-program-output-too-large", &[]),
        ("MECHANISM=ECDSA", "key-manager-no-mechanism", &["ECDSA"]),
        ("PUBLIC_KEYS=PEM", "key-manager-no-der", &["PEM"]),
    ];
    for (settings, code, values) in cases {
        refused(&mut managed(&key, settings), code, values);
    }
    let small = world.openssl("small.pem", &["genrsa", "2048"]);
    refused(
        &mut managed(&small, ""),
        "signing-key-too-small",
        &["\"issuer\"", "2048"],
    );
    let mut unknown = sign(&["--key-manager", SCRIPT, "--key-name", "other"]);
    refused(
        unknown.env("KEY", &key),
        "signer-program-failed",
        &["get-public-key -f DER -k other", "no such key"],
    );
}

#[test]
fn a_key_manager_that_hangs_is_stopped() {
    let world = World::new();
    let mut hanging = managed(&world.issuer_key(), "FAULT=hang");
    refused(
        hanging.args(["--signer-timeout", "1"]),
        "signer-program-timeout",
        &["--signer-timeout"],
    );
}
