//! The backend `software`: the key in a file, checked by openssl.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::line::{EXPORT_SETTINGS, Line, names_in};
use common::{Expect as _, NONCE, PREPARE_DEVICE, World, assert_line};
use serde_json::{Value, json};

const KEY: &str = "hardware-identity-key.pem";
const RECORD: &str = "hardware-identity.json";

fn new_device() -> World {
    World::with_backend("software", "")
}

fn prepared() -> World {
    let world = new_device();
    world.prepare_device().succeeded();
    world.give_nonce(json!(NONCE));
    world
}

fn key_file(world: &World) -> PathBuf {
    world.device.save_data().join(KEY)
}

/// Runs a shell script with the key file as `$KEY`.
fn shell(world: &World, script: &str) -> Vec<u8> {
    let mut command = Command::new("sh");
    command
        .current_dir(world.device.common())
        .env("KEY", key_file(world));
    let output = command.args(["-ec", script]).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn signature_verifies(world: &World, hash: &str) {
    let body = world.body().unwrap();
    assert_eq!(body["signature-hash-algorithm"], hash);
    let signature = STANDARD.decode(body["request-id-signature"].as_str().unwrap());
    fs::write(world.device.common().join("signature"), signature.unwrap()).unwrap();
    fs::write(world.device.common().join("nonce"), NONCE).unwrap();
    shell(
        world,
        &format!(
            "openssl pkey -in $KEY -pubout -out public; openssl dgst -{hash} -verify public -signature signature nonce"
        ),
    );
}

#[test]
fn each_algorithm_agrees_with_openssl() {
    for (algorithm, form, hash) in [
        ("ecdsa-p256", "text", "sha256"),
        ("ecdsa-p384", "der", "sha384"),
        ("rsa-2048", "text", "sha256"),
        ("rsa-3072", "der", "sha256"),
    ] {
        let settings = format!("algorithm = '{algorithm}'\ndigest-form = '{form}'\n");
        let world = World::with_backend("software", &settings);
        world.prepare_device().succeeded();
        world.give_nonce(json!(NONCE));
        world.prepare_serial_request().succeeded();
        signature_verifies(&world, hash);
        let base64 = if form == "text" { "| openssl base64 -A" } else { "" };
        let digest =
            format!("openssl pkey -in $KEY -pubout -outform DER {base64} | openssl dgst -sha3-384 -binary");
        let digest = URL_SAFE_NO_PAD.encode(shell(&world, &digest));
        assert_eq!(world.body().unwrap()["hardware-id-key-sha3-384"], digest.as_str());
        let record = world.record();
        assert_eq!(record["format"], 2);
        assert_eq!(record["key-backend"], "software");
        assert_eq!(record["algorithm"], algorithm);
        assert_eq!(record["digest"], digest.as_str());
        let pem = world.tool(&["export", "--format", "pem"]);
        assert_eq!(pem.stdout, shell(&world, "openssl pkey -in $KEY -pubout"));
        assert_eq!(world.tpm.total(), 0, "the TPM is not used");
    }
}

#[test]
fn the_key_is_a_private_pkcs8_file() {
    let world = prepared();
    assert_eq!(names_in(&world.device.save_data()), [KEY, RECORD]);
    let mode = fs::metadata(key_file(&world)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let pem = fs::read_to_string(key_file(&world)).unwrap();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"), "not PKCS#8");
    let parsed = String::from_utf8(shell(&world, "openssl asn1parse -in $KEY")).unwrap();
    assert!(parsed.contains("id-ecPublicKey"), "not PKCS#8");
}

#[test]
fn the_tool_shows_and_checks_the_key() {
    let world = prepared();
    let shown = world.tool(&["show", "--check", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["key-backend"], "software");
    assert_eq!(shown["key-file"], key_file(&world).to_str().unwrap());
    assert_eq!(shown["checked"], true);
    assert!(shown.get("handle").is_none() && shown.get("name").is_none());
    let table = String::from_utf8(world.tool(&["show"]).stdout).unwrap();
    assert!(
        table
            .lines()
            .any(|line| line.split_whitespace().eq(["Key", "backend", "software"]))
    );
}

#[test]
fn a_second_run_and_a_lost_record_change_nothing() {
    let world = prepared();
    let (record, key) = (world.record(), fs::read(key_file(&world)).unwrap());
    world.prepare_device().succeeded();
    fs::remove_file(world.record_file()).unwrap();
    world.prepare_serial_request().succeeded();
    world.prepare_device().succeeded();
    assert_eq!(world.record()["digest"], record["digest"]);
    assert_eq!(fs::read(key_file(&world)).unwrap(), key);
}

#[test]
fn without_prepare_device_there_is_no_identity_to_open() {
    let world = new_device();
    world.give_nonce(json!(NONCE));
    world.prepare_serial_request().failed("identity-missing", &[]);
    assert!(names_in(&world.device.save_data()).is_empty());
}

#[test]
fn each_fault_of_the_file_has_its_code() {
    let other = prepared();
    let other = fs::read(key_file(&other)).unwrap();
    let world = prepared();
    let (path, good) = (key_file(&world), fs::read(key_file(&world)).unwrap());
    let refused = |code: &str| world.both_refused(code, &[path.to_str().unwrap()]);

    fs::remove_file(&path).unwrap();
    refused("software-key-missing");
    let restore = |content: &[u8]| {
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    };
    restore(&other);
    refused("software-key-replaced");
    let mut flipped = good.clone();
    flipped[100] ^= 1;
    let public = shell(&world, "openssl pkey -in $KEY -pubout");
    let ed25519 = shell(&world, "openssl genpkey -algorithm ed25519");
    let encrypted = shell(
        &world,
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes128 -pass pass:a",
    );
    for damaged in [
        &good[..good.len() / 2],
        &flipped,
        b"",
        &public,
        &ed25519,
        &encrypted,
        &[b'a'; 20_000],
    ] {
        restore(damaged);
        refused("software-key-damaged");
    }
    restore(&good);
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    refused("file-exposed");
    restore(&good);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused("software-key-unreadable");
    restore(&good);
    world.both_work();
}

#[test]
fn a_file_that_may_not_be_read_is_unreadable() {
    let world = prepared();
    fs::set_permissions(key_file(&world), Permissions::from_mode(0o000)).unwrap();
    let hook = world.unprivileged_hook(PREPARE_DEVICE);
    world.refused(hook, "software-key-unreadable", &[]);
}

#[test]
fn a_key_that_cannot_be_written_leaves_nothing() {
    let world = new_device();
    let hook = || {
        let script = "mount -t tmpfs -o size=4k none \"$SNAP_SAVE_DATA\"; echo > \"$SNAP_SAVE_DATA/full\" 2>/dev/null; \
                      dd if=/dev/zero of=\"$SNAP_SAVE_DATA/full\" 2>/dev/null; exec \"$HOOK\"";
        world
            .hook_in("exec unshare -m sh -c \"$INNER\"", PREPARE_DEVICE)
            .env("INNER", script)
    };
    world.refused(hook(), "software-key-unwritable", &["No space left"]);
    world.prepare_device().succeeded();
}

#[test]
fn the_backend_of_an_identity_never_changes() {
    let world = prepared();
    world.device.write_settings("").unwrap();
    world.both_refused("key-backend-changed", &["tpm", "software"]);
    // The key alone is enough to know it.
    fs::remove_file(world.record_file()).unwrap();
    world.both_refused("key-backend-changed", &[]);
    assert_eq!(world.tpm.total(), 0);

    let world = World::prepared();
    world.device.write_settings("key-backend = 'software'\n").unwrap();
    world.both_refused("key-backend-changed", &["tpm", "software"]);
    assert_eq!(names_in(&world.device.save_data()), [RECORD]);
}

/// A link to nowhere is not a missing key.
#[test]
fn a_key_behind_a_broken_link_is_missing() {
    let world = prepared();
    fs::remove_file(key_file(&world)).unwrap();
    symlink("/nonexistent", key_file(&world)).unwrap();
    world.both_refused("software-key-missing", &[]);
}

#[test]
fn a_device_that_gets_a_save_directory_keeps_its_key() {
    let world = new_device();
    let run = |hook| world.hook(hook).without_env("SNAP_SAVE_DATA").run().unwrap();
    run(PREPARE_DEVICE).succeeded();
    let earlier = world.device.common();
    assert_eq!(names_in(&earlier), [KEY, RECORD]);
    world.give_nonce(json!(NONCE));
    world.prepare_serial_request().succeeded();
    world.prepare_device().succeeded();
    for name in [KEY, RECORD] {
        let read = |directory: &Path| fs::read(directory.join(name)).unwrap();
        assert_eq!(read(&world.device.save_data()), read(&earlier), "{name}");
    }
    world.prepare_serial_request().succeeded();
}

#[test]
fn the_export_names_the_backend_and_the_assertion_does_not() {
    let settings = EXPORT_SETTINGS.concat();
    let line = Line::with_settings(&format!("key-backend = 'software'\n{settings}"));
    let file = line.path("export.json");
    line.export_to(&format!("file:{}", file.display()));
    line.hook().run().unwrap().succeeded();
    let world = &line.world;
    let export: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(export["key-backend"], "software");
    assert_eq!(export["hardware-id-key"], world.record()["public-key"]);
    let by_tool = world.tool(&["export"]);
    let mut by_tool: Value = serde_json::from_slice(&by_tool.stdout).unwrap();
    by_tool["timestamp"] = export["timestamp"].clone();
    assert_eq!(by_tool, export);
    line.run_mode_works();

    let issuer = shell(
        world,
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -out issuer.pem; chmod 600 issuer.pem",
    );
    assert!(issuer.is_empty());
    let issuer = world.device.common().join("issuer.pem");
    let sign = |more: &[&str]| {
        let arguments = ["sign", "--key", issuer.to_str().unwrap(), file.to_str().unwrap()];
        world.tool(&[&arguments[..], more].concat())
    };
    for accepted in [&[][..], &["--require-backend", "software"]] {
        let signed = sign(accepted);
        assert!(signed.status.success(), "{signed:?}");
        let assertion = String::from_utf8(signed.stdout).unwrap();
        assert!(assertion.contains("hardware-id: SN-1\n"));
        assert!(!assertion.contains("software") && !assertion.contains("key-backend"));
    }
    for backend in ["tpm", "pkcs11"] {
        let refused = sign(&["--require-backend", backend]);
        assert_eq!(refused.status.code(), Some(1));
        let stderr = String::from_utf8(refused.stderr).unwrap();
        assert_line(
            stderr.lines().next().unwrap(),
            "key-backend-refused",
            &[backend, "software"],
        );
    }
}

#[test]
fn evidence_of_a_tpm_needs_a_key_in_a_tpm() {
    let world = World::with_backend("software", &EXPORT_SETTINGS.concat());
    world.prepare_device().succeeded();
    let refused = world.tool(&["export", "--with-evidence", "/nonexistent/evidence.json"]);
    assert_eq!(refused.status.code(), Some(3));
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_line(&stderr, "key-not-in-tpm", &[]);
}

#[test]
fn a_factory_reset_keeps_the_identity() {
    let line = Line::with_settings("key-backend = 'software'\n");
    line.boot("install", false);
    line.hook().run().unwrap().succeeded();
    let record = line.world.record();
    line.boot("factory-reset", false);
    line.hook().run().unwrap().succeeded();
    assert_eq!(line.world.record(), record);
    fs::remove_file(key_file(&line.world)).unwrap();
    line.hook().run().unwrap().failed("software-key-missing", &[]);
    // In install mode too, in which other failures are only warnings.
    line.boot("install", false);
    line.hook().run().unwrap().failed("software-key-missing", &[]);
}
