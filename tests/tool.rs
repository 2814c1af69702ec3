//! The tool on a device: `hardware-identity export` and `show`.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::{Command, Output};

use common::World;
use serde_json::Value;

const HEADERS: [&str; 8] = [
    "--issuer-id",
    "a-brand",
    "--manufacturer",
    "Müller & Söhne",
    "--hardware-name",
    "box-1",
    "--hardware-id",
    "SN/1",
];

fn export(world: &World, arguments: &[&str]) -> Output {
    world.tool(&[&["export"], arguments].concat())
}

fn stdout(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// One line on stderr with all of `parts`, status 1, nothing on stdout.
fn refused(output: &Output, parts: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        output.stdout.is_empty() && stderr.lines().count() == 1,
        "{stderr}"
    );
    for part in parts {
        assert!(stderr.contains(part), "`{part}` is missing: {stderr}");
    }
}

#[test]
fn an_export_holds_all_headers_as_texts() {
    let world = World::prepared();
    let text = stdout(&export(&world, &HEADERS));
    let headers: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    let record = world.record();
    let expected = [
        ("type", "hardware-identity"),
        ("authority-id", "a-brand"),
        ("issuer-id", "a-brand"),
        ("manufacturer", "Müller & Söhne"),
        ("hardware-name", "box-1"),
        ("hardware-id", "SN/1"),
        ("hardware-id-key-sha3-384", record["digest"].as_str().unwrap()),
        ("hardware-id-key", record["public-key"].as_str().unwrap()),
    ];
    for (name, value) in expected {
        assert_eq!(headers[name], value, "{name}");
    }
    assert_eq!(headers.len(), expected.len() + 1);
    let timestamp = headers["timestamp"].as_str().unwrap();
    let parsed = Command::new("date")
        .args(["-u", "-d", timestamp, "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&parsed.stdout).trim(), timestamp);
}

#[test]
fn settings_give_the_headers_and_flags_stand_over_them() {
    let world = World::prepared();
    let settings =
        "issuer-id = 'b-brand'\nmanufacturer = 'B'\nhardware-name = 'b'\nhardware-id = 'key-digest'\n";
    world.device.write_settings(settings).unwrap();
    let headers: Value = serde_json::from_str(&stdout(&export(&world, &[]))).unwrap();
    assert_eq!(headers["issuer-id"], "b-brand");
    assert_eq!(headers["hardware-id"], world.record()["digest"]);
    let headers: Value = serde_json::from_str(&stdout(&export(&world, &HEADERS))).unwrap();
    assert_eq!(headers["issuer-id"], "a-brand");
    assert_eq!(headers["hardware-id"], "SN/1");
}

#[test]
fn every_header_rule_is_checked_first() {
    let world = World::prepared();
    let all = [
        "not set: issuer-id, manufacturer, hardware-name",
        "Use the flags of these names",
    ];
    refused(&export(&world, &[]), &all);
    for (position, value, problem) in [
        (1, "A brand", "header \"issuer-id\": \"A brand\" does not match"),
        (3, "", "header \"manufacturer\": is empty"),
        (5, "box--1", "header \"hardware-name\": \"box--1\" does not match"),
        (7, "To be filled by O.E.M.", "vendors put on every device"),
        (7, "0000000", "vendors put on every device"),
        (7, " ", "is empty"),
    ] {
        let mut headers = HEADERS;
        headers[position] = value;
        refused(&export(&world, &headers), &[problem]);
    }
    refused(
        &export(&world, &HEADERS[..6]),
        &["not set: hardware-id (", "key-digest"],
    );
}

#[test]
fn an_output_file_is_written_whole_or_not_at_all() {
    let world = World::prepared();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("export.json");
    let path = file.to_str().unwrap();
    let with_output = [&HEADERS[..], &["--output", path]].concat();
    assert_eq!(stdout(&export(&world, &with_output)), "");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.ends_with("}\n"), "{written}");
    refused(&export(&world, &["--output", path]), &["issuer-id"]);
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        written,
        "the older file is still there"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let missing = folder.path().join("no/such/folder");
    let nowhere = [&HEADERS[..], &["--output", missing.to_str().unwrap()]].concat();
    refused(
        &export(&world, &nowhere),
        &["no/such/folder cannot be written", "Check that its folder exists"],
    );
    let device = [&HEADERS[..], &["--output", "/dev/stdout"]].concat();
    assert!(stdout(&export(&world, &device)).starts_with('{'));
}

#[test]
fn openssl_reads_the_exported_public_key() {
    let world = World::prepared();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    stdout(&export(
        &world,
        &["--format", "pem", "--output", file.to_str().unwrap()],
    ));
    let text = Command::new("openssl")
        .args(["pkey", "-pubin", "-noout", "-text", "-in"])
        .arg(&file)
        .output();
    let text = text.unwrap();
    assert!(
        String::from_utf8_lossy(&text.stdout).contains("NIST CURVE: P-256"),
        "{text:?}"
    );
}

#[test]
fn nothing_is_exported_before_there_is_an_identity() {
    let world = World::new();
    refused(
        &export(&world, &HEADERS),
        &["no hardware identity yet", "Run prepare-device"],
    );
    refused(&world.tool(&["show"]), &["no hardware identity yet"]);
    assert!(world.tpm.persistent_handles().unwrap().is_empty());
}

#[test]
fn the_tool_works_without_the_snap_environment() {
    let world = World::prepared();
    let bare = |arguments: &[&str]| {
        let mut tool = Command::new(common::program("hardware-identity"));
        tool.args(arguments)
            .env_clear()
            .env("TCTI", world.tpm.tcti())
            .output()
            .unwrap()
    };
    let shown: Value = serde_json::from_str(&stdout(&bare(&["show", "--json"]))).unwrap();
    assert_eq!(shown["digest"], world.record()["digest"]);
    assert_eq!(shown["record"], Value::Null);
    // The form of the digest is on record: without it the export may not be what the device sends.
    let exported = bare(&[&["export"], &HEADERS[..]].concat());
    let warning = String::from_utf8_lossy(&exported.stderr);
    assert!(exported.status.success());
    assert!(
        warning.contains("no record") && warning.contains("SNAP_SAVE_DATA=/var/lib"),
        "{warning}"
    );
}

#[test]
fn without_a_record_the_tool_takes_no_key_on_trust() {
    let world = World::new();
    // The template but for `unique`: another key, which only deriving tells from the identity.
    let folder = tempfile::tempdir().unwrap();
    let context = folder.path().join("context");
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign";
    let context = context.to_str().unwrap();
    let make = [
        "tpm2_createprimary",
        "-C",
        "e",
        "-g",
        "sha256",
        "-G",
        "ecc256:ecdsa-sha256",
        "-a",
        attributes,
        "-c",
        context,
    ];
    world.tpm.tpm2(&make).unwrap();
    world
        .tpm
        .tpm2(&["tpm2_evictcontrol", "-C", "o", "-c", context, "0x81018C00"])
        .unwrap();
    refused(
        &export(&world, &HEADERS),
        &["0x81018C00 holds a key that is not this device's"],
    );
    refused(
        &world.tool(&["show", "--check"]),
        &["0x81018C00 holds a key that is not this device's"],
    );
}

#[test]
fn as_an_app_of_the_snap_the_tool_knows_its_options() {
    let world = World::prepared();
    world
        .device
        .set_config("hardware-identity.issuer-id", "b-brand".into())
        .unwrap();
    let headers = [&["export"], &HEADERS[2..]].concat();
    let snapctl = common::program("snapctl");
    let programs = snapctl.parent().unwrap();
    let output = Command::new(common::program("hardware-identity"))
        .args(headers)
        .env_clear()
        .env("PATH", programs)
        .env("SNAP_COOKIE", world.device.state_file())
        .env("SNAP_SAVE_DATA", world.device.save_data())
        .env("TCTI", world.tpm.tcti())
        .output();
    let headers: Value = serde_json::from_str(&stdout(&output.unwrap())).unwrap();
    assert_eq!(headers["issuer-id"], "b-brand");
}

#[test]
fn show_tells_what_the_identity_is() {
    let world = World::prepared();
    let text = stdout(&world.tool(&["show", "--check"]));
    let record = world.record();
    for part in [
        "ecdsa-p256",
        record["digest"].as_str().unwrap(),
        record["name"].as_str().unwrap(),
        "0x81018C00",
        world.record_file().to_str().unwrap(),
        "a random nonce was signed and verified",
    ] {
        assert!(text.contains(part), "`{part}` is missing: {text}");
    }
    assert!(!stdout(&world.tool(&["show"])).contains("random nonce"));
    world.tpm.clear_by_platform().unwrap();
    assert!(stdout(&world.tool(&["show"])).contains("(empty: the key is derived anew each time)"));
}

#[test]
fn a_wrong_command_line_is_status_2() {
    let world = World::new();
    for arguments in [
        &["sho"][..],
        &["export", "--format", "xml"],
        &["export", "--hardware-id", "dmi:x"],
    ] {
        assert_eq!(world.tool(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_bench_exports_and_signs_in_one_step() {
    let world = World::prepared();
    let folder = tempfile::tempdir().unwrap();
    let vectors = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/crates/snap-assertions/tests/vectors"
    );
    let (key, signed) = (folder.path().join("issuer.pem"), folder.path().join("signed"));
    let mut openssl = Command::new("openssl");
    openssl
        .args([
            "pkey",
            "-inform",
            "DER",
            "-in",
            &format!("{vectors}/issuer.pk8"),
            "-out",
        ])
        .arg(&key);
    assert!(openssl.status().unwrap().success());
    let sign_with = format!("key={}", key.display());
    let arguments = ["--sign-with", &sign_with, "--output", signed.to_str().unwrap()];
    let headers = [
        "--issuer-id",
        "acme",
        "--manufacturer",
        "Acme",
        "--hardware-name",
        "box",
        "--hardware-id",
        "1",
    ];
    stdout(&export(&world, &[&headers[..], &arguments].concat()));
    let issuer_key = format!("{vectors}/account-key-issuer.assert");
    let verified = world.tool(&[
        "verify",
        "--issuer-key",
        &issuer_key,
        "--json",
        signed.to_str().unwrap(),
    ]);
    let verified: Value = serde_json::from_str(&stdout(&verified)).unwrap();
    assert_eq!(verified["hardware-id-key-sha3-384"], world.record()["digest"]);
    for wrong in ["issuer.pem", "signer-timeout=3", "key="] {
        let output = export(&world, &[&headers[..], &["--sign-with", wrong]].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}
