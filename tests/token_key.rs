//! The backend `pkcs11`, on SoftHSM and on tpm2-pkcs11; pkcs11-tool and openssl check the results.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::line::names_in;
use common::token::{PIN, TOKEN, TokenWorld};
use common::{Expect as _, HOOKS, NONCE, PREPARE_DEVICE, PREPARE_SERIAL_REQUEST};
use serde_json::json;

const RECORD: &str = "hardware-identity.json";
const PENDING: &str = "hardware-identity.pending.json";

/// Functions in CK_FUNCTION_LIST.
const OPEN_SESSION: &str = "12";
const LOGIN: &str = "18";
const FIND_OBJECTS: &str = "27";
const SIGN: &str = "43";
const GENERATE_KEY_PAIR: &str = "59";

fn prepared() -> TokenWorld {
    let token = TokenWorld::softhsm("");
    token.prepare_device().succeeded();
    token.world.give_nonce(json!(NONCE));
    token
}

fn shell(token: &TokenWorld, script: &str) -> Vec<u8> {
    let directory = token.world.device.common();
    let output = Command::new("sh")
        .current_dir(directory)
        .args(["-ec", script])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// The public key is that of the token: pkcs11-tool shows the point, or the modulus.
fn is_listed(token: &TokenWorld, public: &[u8]) {
    let listed = token.logged_in(&["--list-objects", "--type", "pubkey"]);
    let listed = String::from_utf8(listed).unwrap();
    let point = listed
        .lines()
        .find_map(|line| line.trim().strip_prefix("EC_POINT: "));
    match point {
        Some(point) => {
            let hex: String = public.iter().map(|byte| format!("{byte:02x}")).collect();
            // Behind the header of an OCTET STRING.
            assert!(hex.ends_with(&point.trim()[4..]), "{point}");
        }
        None => {
            let id = token.world.record()["key-id"].as_str().unwrap().to_owned();
            let read = token.logged_in(&["--read-object", "--type", "pubkey", "--id", &id]);
            assert_eq!(read, public);
        }
    }
}

/// Makes a key, signs, and compares with pkcs11-tool and openssl.
fn agrees_with_other_tools(token: &TokenWorld, algorithm: &str, hash: &str) {
    token.prepare_device().succeeded();
    token.world.give_nonce(json!(NONCE));
    token.prepare_serial_request().succeeded();
    let record = token.world.record();
    assert_eq!(record["format"], 2);
    assert_eq!(record["key-backend"], "pkcs11");
    assert_eq!(record["algorithm"], algorithm);
    assert_eq!(record["token-label"], TOKEN);
    assert_eq!(names_in(&token.world.device.save_data()), [RECORD]);

    let id = record["key-id"].as_str().unwrap();
    let public = STANDARD.decode(record["public-key"].as_str().unwrap()).unwrap();
    is_listed(token, &public);
    let common = token.world.device.common();
    fs::write(common.join("public"), public).unwrap();
    let body = token.world.body().unwrap();
    let signature = STANDARD.decode(body["request-id-signature"].as_str().unwrap());
    fs::write(common.join("signature"), signature.unwrap()).unwrap();
    fs::write(common.join("nonce"), NONCE).unwrap();
    let verify = format!(
        "openssl pkey -pubin -inform DER -in public -out pem; openssl dgst -{hash} -verify pem -signature signature nonce"
    );
    shell(token, &verify);
    let digest =
        "openssl pkey -pubin -in pem -outform DER | openssl base64 -A | openssl dgst -sha3-384 -binary";
    let digest = URL_SAFE_NO_PAD.encode(shell(token, digest));
    assert_eq!(body["hardware-id-key-sha3-384"], digest.as_str());
    let shown = token.show(&["show", "--check", "--json"]);
    assert_eq!(shown["key-backend"], "pkcs11");
    assert_eq!(shown["digest"], digest.as_str());
    assert_eq!(shown["key-id"], id);
    assert_eq!(shown["checked"], true);

    let [key] = token.private_keys().try_into().unwrap();
    for attribute in ["sensitive", "always sensitive", "never extractable", "local"] {
        assert!(key.contains(attribute), "{attribute}: {key}");
    }
    token.prepare_device().succeeded();
    assert_eq!(token.world.record(), record);
}

#[test]
fn each_algorithm_of_softhsm_agrees_with_other_tools() {
    for (algorithm, hash) in [
        ("ecdsa-p256", "sha256"),
        ("ecdsa-p384", "sha384"),
        ("rsa-2048", "sha256"),
        ("rsa-3072", "sha256"),
    ] {
        let token = TokenWorld::softhsm(&format!("algorithm = '{algorithm}'"));
        agrees_with_other_tools(&token, algorithm, hash);
        assert_eq!(token.world.tpm.total(), 0, "the TPM is not used");
    }
}

#[test]
fn tpm2_pkcs11_agrees_with_other_tools() {
    for (algorithm, hash) in [("ecdsa-p256", "sha256"), ("rsa-2048", "sha256")] {
        let token = TokenWorld::tpm2(&format!("algorithm = '{algorithm}'"));
        agrees_with_other_tools(&token, algorithm, hash);
    }
}

#[test]
fn the_token_can_be_named_by_its_serial_number() {
    let token = TokenWorld::softhsm("");
    // Another token with the same label.
    token.add_token(TOKEN);
    token
        .world
        .refused(token.hook(PREPARE_DEVICE), "pkcs11-token-ambiguous", &[TOKEN]);
    let listed = String::from_utf8(token.tool(&["--list-slots"])).unwrap();
    let serial = listed
        .lines()
        .find_map(|line| line.trim().strip_prefix("serial num"));
    let serial = serial.unwrap().trim_start_matches([' ', ':']);
    token.write_settings_for(&token.module, serial, "");
    token.prepare_device().succeeded();
    assert_eq!(token.world.record()["token-serial"], serial);
}

#[test]
fn a_key_that_no_record_names_is_neither_used_nor_deleted() {
    let token = prepared();
    let keys = token.private_keys();
    fs::remove_file(token.world.record_file()).unwrap();
    let values = [TOKEN, "hardware-identity"];
    token
        .world
        .refused(token.hook(PREPARE_DEVICE), "pkcs11-label-in-use", &values);
    assert_eq!(token.private_keys(), keys);
    token.prepare_serial_request().failed("identity-missing", &[]);
    token.world.set_option("pkcs11.key-label", json!("another"));
    token.prepare_device().succeeded();
    assert_eq!(token.private_keys().len(), 2);
}

#[test]
fn a_key_that_is_gone_or_another_one_is_an_error() {
    let token = prepared();
    let (record, other) = (token.world.record(), prepared().world.record());
    let id = record["key-id"].as_str().unwrap();
    // The record of another device: its public key is not that of the key with the id.
    let mut copied = record.clone();
    for member in ["public-key", "digest"] {
        copied[member] = other[member].clone();
    }
    fs::write(token.world.record_file(), copied.to_string()).unwrap();
    token.both_refused("pkcs11-identity-replaced", &[id, TOKEN]);
    fs::write(token.world.record_file(), record.to_string()).unwrap();
    for kind in ["privkey", "pubkey"] {
        token.logged_in(&["--delete-object", "--type", kind, "--id", id]);
    }
    token.both_refused("pkcs11-identity-missing", &[id, TOKEN]);
    assert!(token.private_keys().is_empty(), "no new identity");
}

#[test]
fn each_fault_of_settings_and_files_has_its_code() {
    let token = prepared();
    let write = |module: &str, label: &str| {
        token.write_settings_for(std::path::Path::new(module), label, "");
    };
    write("/nonexistent/libhsm.so", TOKEN);
    token.both_refused("pkcs11-module-missing", &["/nonexistent/libhsm.so"]);
    let mut library = fs::read(&token.module).unwrap();
    // EM_S390 in e_machine.
    library[18..20].copy_from_slice(&[22, 0]);
    let other = token.path("libother.so");
    fs::write(&other, library).unwrap();
    write(other.to_str().unwrap(), TOKEN);
    token.both_refused("pkcs11-module-architecture", &["libother.so"]);
    fs::write(&other, "not a library").unwrap();
    token.both_refused("pkcs11-module-not-loaded", &["libother.so"]);
    write("/usr/lib/x86_64-linux-gnu/libcrypto.so.3", TOKEN);
    token.both_refused("pkcs11-module-not-loaded", &[]);
    write(token.module.to_str().unwrap(), "no such token");
    token.both_refused("pkcs11-token-unknown", &[TOKEN]);

    token.write_settings("");
    token.write_pin("wrong");
    token.both_refused("pkcs11-pin-wrong", &[TOKEN]);
    token.write_pin("two\nlines");
    token.both_refused("pin-file-malformed", &[]);
    fs::remove_file(token.path("pin")).unwrap();
    token.both_refused("file-unreadable", &["pin"]);
    token.write_pin(PIN);
    fs::set_permissions(token.path("pin"), Permissions::from_mode(0o644)).unwrap();
    token.both_refused("file-exposed", &["pin"]);
    let settings = format!(
        "key-backend = 'pkcs11'\n[pkcs11]\nmodule = '{}'\n",
        token.module.display()
    );
    token.world.device.write_settings(&settings).unwrap();
    token.both_refused("pkcs11-pin-unset", &[TOKEN]);
    token
        .world
        .device
        .write_settings("key-backend = 'pkcs11'\n")
        .unwrap();
    token.both_refused("pkcs11-module-unset", &[]);
    token.world.device.write_settings("").unwrap();
    token.both_refused("key-backend-changed", &["tpm", "pkcs11"]);
}

/// A module that passes calls on to SoftHSM, except one.
fn faulty_module(token: &TokenWorld) -> PathBuf {
    let module = token.path("libfaulty.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/faulty-module.c");
    let mut compiler = Command::new("gcc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&module).arg(source);
    assert!(compiler.status().unwrap().success());
    module
}

/// Runs a hook, in which the function fails.
fn fails(token: &TokenWorld, hook: &str, function: &str, action: &str, code: &str) {
    let run = token
        .hook(hook)
        .env("FAULTY_FUNCTION", function)
        .env("FAULTY_ACTION", action);
    run.run().unwrap().failed(code, &[]);
}

#[test]
fn a_token_that_fails_leaves_nothing_half_made() {
    let token = TokenWorld::softhsm("");
    let module = faulty_module(&token);
    token.write_settings_for(&module, TOKEN, "");
    for (function, action, code) in [
        (LOGIN, "0xA4", "pkcs11-pin-locked"),
        (LOGIN, "0x30", "pkcs11-login-refused"),
        (OPEN_SESSION, "0xE0", "pkcs11-no-session"),
        (FIND_OBJECTS, "0x32", "pkcs11-token-removed"),
        (FIND_OBJECTS, "0x30", "pkcs11-keys-unreadable"),
        (GENERATE_KEY_PAIR, "0x31", "pkcs11-token-full"),
        (GENERATE_KEY_PAIR, "0x32", "pkcs11-token-removed"),
        (GENERATE_KEY_PAIR, "0x70", "pkcs11-algorithm-unsupported"),
        (GENERATE_KEY_PAIR, "0xE2", "pkcs11-token-write-protected"),
        (GENERATE_KEY_PAIR, "0x30", "pkcs11-key-not-made"),
    ] {
        fails(&token, PREPARE_DEVICE, function, action, code);
        assert!(!token.world.record_file().exists());
    }
    assert!(token.private_keys().is_empty());
    token.prepare_device().succeeded();
    assert_eq!(token.private_keys().len(), 1);
    assert_eq!(names_in(&token.world.device.save_data()), [RECORD]);
    token.world.give_nonce(json!(NONCE));
    for (action, code) in [
        ("0x32", "pkcs11-token-removed"),
        ("0x30", "pkcs11-identity-not-signed"),
    ] {
        fails(&token, PREPARE_SERIAL_REQUEST, SIGN, action, code);
        assert_eq!(token.world.body(), None);
    }
}

#[test]
fn a_module_that_crashes_or_hangs_ends_the_hook_with_an_error() {
    let token = prepared();
    let module = faulty_module(&token);
    token.write_settings_for(&module, TOKEN, "");
    token.world.set_option("pkcs11.timeout", json!(1));
    for hook in HOOKS {
        for function in ["load", "0", LOGIN, FIND_OBJECTS] {
            for (action, code) in [
                ("crash", "pkcs11-module-crashed"),
                ("exit", "pkcs11-module-crashed"),
                ("hang", "pkcs11-module-timeout"),
            ] {
                fails(&token, hook, function, action, code);
            }
        }
    }
    assert_eq!(token.world.body(), None);
    token.prepare_serial_request().succeeded();
}

#[test]
fn a_key_whose_run_ended_before_the_record_is_found_again() {
    let token = TokenWorld::softhsm("");
    token.prepare_device().succeeded();
    let record = token.world.record();
    let keys = token.private_keys();
    // As a run leaves it that is killed after the token made the key.
    let pending = json!({"key-label": record["key-label"], "key-id": record["key-id"]});
    let file = token.world.device.save_data().join(PENDING);
    fs::write(&file, pending.to_string()).unwrap();
    fs::remove_file(token.world.record_file()).unwrap();
    token.prepare_device().succeeded();
    assert_eq!(token.world.record()["digest"], record["digest"]);
    assert_eq!(token.private_keys(), keys);
    // After the record was written.
    fs::write(&file, pending.to_string()).unwrap();
    token.prepare_device().succeeded();
    assert_eq!(names_in(&token.world.device.save_data()), [RECORD]);
    // With half of the key, a new one is made in its place.
    token.logged_in(&[
        "--delete-object",
        "--type",
        "pubkey",
        "--id",
        record["key-id"].as_str().unwrap(),
    ]);
    fs::write(&file, pending.to_string()).unwrap();
    fs::remove_file(token.world.record_file()).unwrap();
    token.prepare_device().succeeded();
    assert_ne!(token.world.record()["digest"], record["digest"]);
    assert_eq!(token.private_keys().len(), 1);
}
