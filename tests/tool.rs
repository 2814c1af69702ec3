//! The tool on a device: `hardware-identity export` and `show`.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::{Command, Output};

use common::{World, assert_line};
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

/// The tool failed with this exit status, nothing on stdout and one line on stderr, which ends with
/// `[code]` and has all of `values` in it.
fn refused(output: &Output, status: i32, code: &str, values: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    assert!(
        output.stdout.is_empty() && stderr.lines().count() == 1,
        "{stderr}"
    );
    assert_line(&stderr, code, values);
}

#[test]
fn an_export_holds_all_headers_as_strings() {
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
fn settings_give_the_headers_and_flags_override_them() {
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
    let missing = "export-settings-missing";
    let names = "issuer-id, manufacturer, hardware-name, hardware-id";
    refused(&export(&world, &[]), 1, missing, &[names]);
    for (position, value, code) in [
        (1, "A brand", "header-pattern-mismatch"),
        (3, "", "header-empty"),
        (5, "box--1", "header-pattern-mismatch"),
        (7, "To be filled by O.E.M.", "hardware-id-placeholder"),
        (7, "0000000", "hardware-id-placeholder"),
        (7, " ", "hardware-id-empty"),
    ] {
        let mut headers = HEADERS;
        headers[position] = value;
        refused(&export(&world, &headers), 1, code, &[]);
    }
    refused(&export(&world, &HEADERS[..6]), 1, missing, &["hardware-id"]);
}

#[test]
fn an_output_file_is_written_whole_or_not_at_all() {
    let world = World::prepared();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("export.json");
    let path = file.to_str().unwrap();
    let with_output = [&HEADERS[..], &["--output", path]].concat();
    assert_eq!(stdout(&export(&world, &with_output)), "");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.ends_with("}\n"), "{written}");
    refused(
        &export(&world, &["--output", path]),
        1,
        "export-settings-missing",
        &[],
    );
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        written,
        "the older file is still there"
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let missing = directory.path().join("no/such/directory");
    let nowhere = [&HEADERS[..], &["--output", missing.to_str().unwrap()]].concat();
    refused(
        &export(&world, &nowhere),
        1,
        "file-unwritable",
        &["no/such/directory"],
    );
    let device = [&HEADERS[..], &["--output", "/dev/stdout"]].concat();
    assert!(stdout(&export(&world, &device)).starts_with('{'));
}

#[test]
fn openssl_reads_the_exported_public_key() {
    let world = World::prepared();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.pem");
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
fn without_an_identity_nothing_is_exported() {
    let world = World::new();
    refused(&export(&world, &HEADERS), 3, "identity-missing", &[]);
    refused(&world.tool(&["show"]), 3, "identity-missing", &[]);
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
    // Without the record, the digest may have another form than the device sends.
    let exported = bare(&[&["export"], &HEADERS[..]].concat());
    assert!(exported.status.success());
    assert_line(
        &String::from_utf8_lossy(&exported.stderr),
        "export-without-record",
        &["warning: "],
    );
}

#[test]
fn without_a_record_the_tool_derives_the_key() {
    let world = World::new();
    // The template with another `unique`: only a derivation shows that this is another key.
    let directory = tempfile::tempdir().unwrap();
    let context = directory.path().join("context");
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
    let handle = ["0x81018C00"];
    refused(&export(&world, &HEADERS), 3, "tpm-handle-in-use", &handle);
    refused(&world.tool(&["show", "--check"]), 3, "tpm-handle-in-use", &handle);
}

#[test]
fn as_an_app_of_the_snap_the_tool_reads_its_options() {
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
fn show_prints_the_identity() {
    let world = World::prepared();
    let text = stdout(&world.tool(&["show", "--check"]));
    let record = world.record();
    for part in [
        "ecdsa-p256",
        record["digest"].as_str().unwrap(),
        record["name"].as_str().unwrap(),
        "0x81018C00",
        world.record_file().to_str().unwrap(),
    ] {
        assert!(text.contains(part), "`{part}` is missing: {text}");
    }
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
    let directory = tempfile::tempdir().unwrap();
    let vectors = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/crates/snap-assertions/tests/vectors"
    );
    let (key, signed) = (
        directory.path().join("issuer.pem"),
        directory.path().join("signed"),
    );
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
