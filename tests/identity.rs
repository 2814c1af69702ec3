//! One device, one identity: how it is made, and that it stays the same.
//!
//! tpm2-tools and openssl check the results.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::{Expect as _, NONCE, World};
use serde_json::{Value, json};
use testbed::TestTpm;

/// Runs a shell script in a directory.
fn shell(directory: &std::path::Path, script: &str) -> Vec<u8> {
    let output = Command::new("sh")
        .current_dir(directory)
        .args(["-ec", script])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// The digests of the key at the handle in the text form and in the DER form, by tpm2-tools and
/// openssl.
fn digests_by_other_tools(world: &World, directory: &std::path::Path) -> (String, String) {
    let pem = directory.join("key.pem");
    let pem = pem.to_str().unwrap();
    world
        .tpm
        .tpm2(&["tpm2_readpublic", "-c", "0x81018C00", "-f", "pem", "-o", pem])
        .unwrap();
    let digest = |of: &str| {
        let script =
            format!("openssl pkey -pubin -in key.pem -outform DER {of} | openssl dgst -sha3-384 -binary");
        URL_SAFE_NO_PAD.encode(shell(directory, &script))
    };
    (digest("| openssl base64 -A"), digest(""))
}

fn signature_verifies(directory: &std::path::Path, body: &Value, hash: &str) {
    let signature = STANDARD
        .decode(body["request-id-signature"].as_str().unwrap())
        .unwrap();
    fs::write(directory.join("signature"), signature).unwrap();
    fs::write(directory.join("nonce"), NONCE).unwrap();
    shell(
        directory,
        &format!("openssl dgst -{hash} -verify key.pem -signature signature nonce"),
    );
}

fn each_algorithm(algorithm: &str, form: &str, hash: &str) {
    let world = World::with_settings(&format!(
        "algorithm = \"{algorithm}\"\ndigest-form = \"{form}\"\n"
    ));
    let directory = tempfile::tempdir().unwrap();
    world.prepare_device().succeeded();
    world.give_nonce(json!(NONCE));
    world.prepare_serial_request().succeeded();

    let (text, der) = digests_by_other_tools(&world, directory.path());
    let expected = if form == "text" { &text } else { &der };
    let body = world.body().unwrap();
    assert_eq!(body["hardware-id-key-sha3-384"], expected.as_str());
    assert_eq!(body["hardware-id-key-sha384"], expected.as_str());
    assert_eq!(body["signature-hash-algorithm"], hash);
    assert_eq!(body.as_object().unwrap().len(), 4);
    signature_verifies(directory.path(), &body, hash);

    let record = world.record();
    assert_eq!(record["algorithm"], algorithm);
    assert_eq!(record["digest"], expected.as_str());
    assert_eq!(record["name"], world.name_at_handle());
    let shown: Value = serde_json::from_slice(&world.tool(&["show", "--json", "--check"]).stdout).unwrap();
    assert_eq!(shown["digest-text"], text.as_str());
    assert_eq!(shown["digest-der"], der.as_str());
    assert_eq!(shown["checked"], true);
    assert!(world.tpm.transient_handles().unwrap().is_empty());
}

#[test]
fn ecdsa_p256_agrees_with_other_tools() {
    each_algorithm("ecdsa-p256", "text", "sha256");
    each_algorithm("ecdsa-p256", "der", "sha256");
}

#[test]
fn ecdsa_p384_agrees_with_other_tools() {
    each_algorithm("ecdsa-p384", "text", "sha384");
}

#[test]
fn rsa_2048_agrees_with_other_tools() {
    each_algorithm("rsa-2048", "der", "sha256");
}

#[test]
fn rsa_3072_agrees_with_other_tools() {
    each_algorithm("rsa-3072", "text", "sha256");
}

#[test]
fn the_key_has_the_attributes_of_the_template() {
    let world = World::prepared();
    let public = world.tpm.tpm2(&["tpm2_readpublic", "-c", "0x81018C00"]).unwrap();
    assert!(
        public.contains("fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign\n"),
        "{public}"
    );
    assert!(public.contains("raw: 0x40472"), "{public}");
    // tpm2-tools derives the same key from the same template; it takes `unique` as tpm2-tss holds
    // it in memory.
    let directory = tempfile::tempdir().unwrap();
    let unique = [&17u16.to_ne_bytes()[..], b"hardware-identity", &[0; 128 - 17]].concat();
    fs::write(directory.path().join("unique"), [unique.clone(), unique].concat()).unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let made = world.tpm.tpm2(&[
        "tpm2_createprimary",
        "-C",
        "e",
        "-g",
        "sha256",
        "-G",
        "ecc256:ecdsa-sha256",
        "-u",
        &path("unique"),
        "-a",
        "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign",
        "-c",
        &path("context"),
    ]);
    made.unwrap();
    let read = world
        .tpm
        .tpm2(&["tpm2_readpublic", "-c", &path("context")])
        .unwrap();
    assert!(read.contains(&world.name_at_handle()), "{read}");
}

#[test]
fn a_second_run_changes_nothing() {
    let world = World::prepared();
    let (name, record) = (world.name_at_handle(), fs::read(world.record_file()).unwrap());
    world.prepare_device().succeeded();
    assert_eq!(world.name_at_handle(), name);
    assert_eq!(fs::read(world.record_file()).unwrap(), record);
}

#[test]
fn a_clear_by_platform_or_lockout_changes_nothing() {
    let world = World::prepared();
    let name = world.name_at_handle();
    for clear in [TestTpm::clear_by_platform, TestTpm::clear_by_lockout] {
        clear(&world.tpm).unwrap();
        assert!(world.tpm.persistent_handles().unwrap().is_empty());
        // Before prepare-device makes the key persistent again.
        world.prepare_serial_request().succeeded();
        assert!(
            world.tpm.persistent_handles().unwrap().is_empty(),
            "opening makes no key persistent"
        );
        world.prepare_device().succeeded();
        assert_eq!(world.name_at_handle(), name);
    }
}

#[test]
fn a_reinstalled_device_has_the_same_identity() {
    let mut world = World::prepared();
    let name = world.name_at_handle();
    world.tpm.clear_by_platform().unwrap();
    world.device = testbed::Device::new().unwrap();
    world.prepare_device().succeeded();
    assert_eq!(world.name_at_handle(), name);
}

#[test]
fn a_changed_setting_is_ignored_with_a_warning() {
    let world = World::prepared();
    let record = world.record();
    world
        .device
        .write_settings("algorithm = \"rsa-2048\"\ndigest-form = \"der\"\n")
        .unwrap();
    let outcome = world.prepare_device();
    outcome.warned(&["algorithm-ignored", "digest-form-ignored"]);
    assert_eq!(world.record(), record);
    // After a clear too, and without a record.
    world.tpm.clear_by_platform().unwrap();
    assert!(world.prepare_device().status.success());
    assert_eq!(world.name_at_handle(), record["name"]);
    fs::remove_file(world.record_file()).unwrap();
    // The form of the digest was only on record.
    world.prepare_device().warned(&["algorithm-ignored"]);
    assert_eq!(world.record()["name"], record["name"]);
    world.prepare_serial_request().succeeded();
}

#[test]
fn a_deleted_and_a_restored_record_change_nothing() {
    let world = World::prepared();
    let first = world.record();
    let backup = fs::read(world.record_file()).unwrap();
    fs::remove_file(world.record_file()).unwrap();
    world.prepare_serial_request().succeeded();
    assert!(
        !world.record_file().exists(),
        "only prepare-device writes records"
    );
    world.prepare_device().succeeded();
    for part in [
        "algorithm",
        "template-version",
        "name",
        "public-key",
        "digest",
        "digest-form",
    ] {
        assert_eq!(world.record()[part], first[part]);
    }
    fs::write(world.record_file(), backup).unwrap();
    world.prepare_device().succeeded();
    world.prepare_serial_request().succeeded();
    assert_eq!(world.record(), first);
}

/// Format 1 does not name the backend.
#[test]
fn a_record_of_format_1_stays_valid() {
    let world = World::prepared();
    let mut record = world.record();
    assert_eq!(
        (&record["format"], &record["key-backend"]),
        (&json!(2), &json!("tpm"))
    );
    record["format"] = json!(1);
    record.as_object_mut().unwrap().remove("key-backend");
    fs::write(world.record_file(), record.to_string()).unwrap();
    world.both_work();
    assert_eq!(world.record(), record);
    world.device.write_settings("key-backend = 'pkcs11'\n").unwrap();
    world.both_refused("key-backend-changed", &["tpm", "pkcs11"]);
}

#[test]
fn another_handle_moves_the_key_and_keeps_the_identity() {
    let world = World::prepared();
    let name = world.name_at_handle();
    world
        .device
        .set_config("hardware-identity.handle", json!("0x81018C05"))
        .unwrap();
    world.prepare_device().succeeded();
    assert_eq!(
        world.tpm.persistent_handles().unwrap(),
        [common::HANDLE, 0x8101_8C05]
    );
    let read = world.tpm.tpm2(&["tpm2_readpublic", "-c", "0x81018C05"]).unwrap();
    assert!(read.contains(&name));
}

/// The record of one device with another TPM: a replaced TPM, or a cloned disk.
fn on_another_tpm(prepare: impl Fn(&World)) {
    let mut world = World::prepared();
    world.tpm = TestTpm::new().unwrap();
    prepare(&world);
    let handles = world.tpm.persistent_handles().unwrap();
    let record = fs::read(world.record_file()).unwrap();
    let code = "identity-of-other-tpm";
    world.prepare_device().failed(code, &[]);
    world.prepare_serial_request().failed(code, &[]);
    assert_eq!(world.body(), None);
    assert_eq!(
        world.tpm.persistent_handles().unwrap(),
        handles,
        "nothing is written"
    );
    assert_eq!(
        fs::read(world.record_file()).unwrap(),
        record,
        "nothing is written"
    );
}

#[test]
fn another_tpm_is_refused() {
    on_another_tpm(|_| ());
}

#[test]
fn another_tpm_with_its_own_identity_is_refused() {
    on_another_tpm(|world| {
        let other = testbed::Device::new().unwrap();
        let hook = other.hook(std::path::Path::new(common::PREPARE_DEVICE));
        hook.env("TCTI", world.tpm.tcti()).run().unwrap().succeeded();
    });
}

#[test]
fn a_changed_seed_is_refused() {
    let world = World::prepared();
    world.tpm.change_eps().unwrap();
    world.prepare_device().failed("identity-of-other-tpm", &[]);
    world
        .prepare_serial_request()
        .failed("identity-of-other-tpm", &[]);
}

#[test]
fn without_prepare_device_there_is_no_identity_to_open() {
    let world = World::new();
    world.give_nonce(json!(NONCE));
    world.prepare_serial_request().failed("identity-missing", &[]);
    assert_eq!(world.body(), None);
    assert!(world.tpm.persistent_handles().unwrap().is_empty());
}

#[test]
fn a_device_that_gets_a_save_directory_keeps_its_record() {
    let world = World::with_settings("digest-form = \"der\"\n");
    let run = |hook| world.hook(hook).without_env("SNAP_SAVE_DATA").run().unwrap();
    run(common::PREPARE_DEVICE).succeeded();
    let earlier = world.device.common().join("hardware-identity.json");
    assert!(earlier.exists() && !world.record_file().exists());
    world.give_nonce(json!(NONCE));
    run(common::PREPARE_SERIAL_REQUEST).succeeded();
    // With the directory, the record is found where it was, and copied.
    world.device.write_settings("").unwrap();
    world.prepare_device().warned(&["digest-form-ignored"]);
    assert_eq!(fs::read(world.record_file()).unwrap(), fs::read(earlier).unwrap());
}
