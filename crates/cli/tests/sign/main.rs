//! `hardware-identity sign` and `verify` on batches: refusals and results. The signers have their own
//! tests.

#![allow(clippy::unwrap_used)]

mod ledger;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha3::{Digest as _, Sha3_384};
use snap_assertions::{LocalSigner, SignOptions, Statement};

const TOOL: &str = env!("CARGO_BIN_EXE_hardware-identity");
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../snap-assertions/tests/vectors");

/// A station with the issuer's key and a directory for files.
struct Station {
    directory: tempfile::TempDir,
}

impl Station {
    fn new() -> Self {
        let station = Station {
            directory: tempfile::tempdir().unwrap(),
        };
        let converted = Command::new("openssl")
            .args([
                "pkey",
                "-inform",
                "DER",
                "-in",
                &format!("{VECTORS}/issuer.pk8"),
                "-out",
            ])
            .arg(station.path("issuer.pem"))
            .status();
        assert!(converted.unwrap().success());
        station
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), content).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Runs `sign` in the station's directory, with `input` on stdin.
    fn sign(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(TOOL)
            .current_dir(self.directory.path())
            .args(["sign", "--key", "issuer.pem"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A tool that stops at an error does not read on.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// Checks that there are no files but these.
    fn holds_only(&self, names: &[&str]) {
        let mut found: Vec<_> = fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, names);
    }
}

fn verify(arguments: &[&str]) -> Output {
    let key = format!("{VECTORS}/account-key-issuer.assert");
    Command::new(TOOL)
        .args(["verify", "--issuer-key", &key])
        .args(arguments)
        .output()
        .unwrap()
}

fn vector(name: &str) -> Vec<u8> {
    fs::read(Path::new(VECTORS).join(name)).unwrap()
}

/// The code at the end of the last line on stderr.
fn code(output: &Output) -> String {
    let stderr = stderr(output);
    let last = stderr.lines().last().unwrap_or_default();
    let code = last
        .rsplit_once(" [")
        .and_then(|(_, code)| code.strip_suffix(']'));
    code.unwrap_or_default().to_owned()
}

/// Whether a line on stderr has this start and this code.
fn has_problem(stderr: &str, start: &str, code: &str) -> bool {
    let end = format!(" [{code}]");
    stderr
        .lines()
        .any(|line| line.starts_with(start) && line.ends_with(&end))
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// An export of device `number`: an ECDSA key with the private key `number + 1`.
fn export(number: u32) -> Value {
    let mut scalar = [0; 32];
    scalar[28..].copy_from_slice(&(number + 1).to_be_bytes());
    let private = PrivateKey::from_private_key(&ECDH_P256, &scalar).unwrap();
    let mut der = STANDARD.decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE").unwrap();
    // The tag of an uncompressed point is the last byte there.
    der.extend(&private.compute_public_key().unwrap().as_ref()[1..]);
    with_key(number, &STANDARD.encode(der))
}

fn with_key(number: u32, key: &str) -> Value {
    json!({
        "type": "hardware-identity", "authority-id": "acme", "issuer-id": "acme", "manufacturer": "Acme",
        "hardware-name": "box", "hardware-id": format!("SN-{number:04}"), "hardware-id-key": key,
        "hardware-id-key-sha3-384": URL_SAFE_NO_PAD.encode(Sha3_384::digest(key)),
        "timestamp": "2026-08-21T07:30:00Z",
    })
}

fn json_lines(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn lines(exports: impl IntoIterator<Item = Value>) -> Vec<u8> {
    exports
        .into_iter()
        .flat_map(|export| format!("{export}\n").into_bytes())
        .collect()
}

#[test]
fn a_signed_vector_has_the_bytes_of_snapd() {
    let station = Station::new();
    for name in ["p256", "p384", "rsa2048"] {
        // The creation time in the vectors' signatures.
        let arguments = ["--timestamp", "2026-11-21T18:00:29Z"];
        let output = station.sign(&arguments, &vector(&format!("hardware-identity-{name}.json")));
        assert_eq!(stderr(&output), "");
        assert_eq!(
            output.stdout,
            vector(&format!("hardware-identity-{name}.assert")),
            "{name}"
        );
    }
}

#[test]
fn a_batch_keeps_its_order_in_every_form_of_input() {
    let station = Station::new();
    fs::create_dir(station.path("exports")).unwrap();
    station.write(
        "exports/b.json",
        serde_json::to_string_pretty(&export(2)).unwrap(),
    );
    station.write("exports/a.json", lines([export(0), export(1)]));
    station.write("exports/notes.txt", "not an export");
    let single = station.write("c.json", format!("{}{}", export(3), export(4)));
    let output = station.sign(
        &["exports", &single, "-", "--output", "all.assert"],
        &lines((5..200).map(export)),
    );
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{}",
        stderr(&output)
    );
    let all = station.path("all.assert");
    let verified = verify(&["--json", all.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    let ids: Vec<String> = String::from_utf8(verified.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .inspect(|line| assert_eq!(line["signature-verified"], true))
        .map(|line| line["hardware-id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        ids,
        (0..200)
            .map(|number| format!("SN-{number:04}"))
            .collect::<Vec<_>>()
    );
    station.holds_only(&["all.assert", "c.json", "exports", "issuer.pem"]);
}

#[test]
fn each_device_gets_a_file() {
    let station = Station::new();
    let mut odd = export(2);
    odd["hardware-id"] = "SN/2".into();
    let output = station.sign(&["--output-dir", "signed"], &lines([export(1), odd.clone()]));
    assert!(output.status.success(), "{}", stderr(&output));
    let mut names: Vec<_> = fs::read_dir(station.path("signed"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let digest = odd["hardware-id-key-sha3-384"].as_str().unwrap();
    assert_eq!(names, ["SN-0001.assert", &format!("key-{digest}.assert")]);
    let file = station.path("signed/SN-0001.assert");
    assert!(verify(&[file.to_str().unwrap()]).status.success());
}

#[test]
fn revision_and_timestamp_are_set() {
    let station = Station::new();
    let mut without = export(1);
    without.as_object_mut().unwrap().remove("timestamp");
    let arguments = ["--revision", "3", "--timestamp", "2026-01-31T12:00:00Z"];
    let text = String::from_utf8(station.sign(&arguments, &lines([without, export(2)])).stdout).unwrap();
    assert_eq!(text.matches("\nrevision: 3\n").count(), 2);
    assert!(text.contains("\ntimestamp: 2026-01-31T12:00:00Z\n"), "{text}");
    assert!(
        text.contains("\ntimestamp: 2026-08-21T07:30:00Z\n"),
        "a timestamp of the export stays: {text}"
    );
}

/// What is wrong with a second export, the place and problem that are reported.
fn wrong_exports() -> Vec<(Value, &'static str)> {
    let changed = |name: &str, value: Value| {
        let mut export = export(1);
        export[name] = value;
        export
    };
    let p521 = "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQAdSnPdUOpPxLRa0ubOvdBkbcUx0OqBNiSL7B8ZbTMpKcGxd0w\
                n3Gq3B7CtxJDGhqX/W0IJi0Z5ETx/gHcwgeLVbcBdUPPd3yMDWRvGnOUFu4ovN2hcaVtyG0Ly2fBVC6uNrD1\
                VfPBsv8aTf/Op9t8qQZy9KWlGMh1DPvW8ZTMO3wgP4o=";
    vec![
        (changed("type", "model".into()), "export-wrong-type"),
        (changed("authority-id", "other".into()), "header-differs"),
        (changed("issuer-id", "Acme!".into()), "header-pattern-mismatch"),
        (changed("manufacturer", "".into()), "header-empty"),
        (changed("hardware-name", "a--b".into()), "header-pattern-mismatch"),
        (changed("hardware-id", "SN-0000".into()), "duplicate-hardware-id"),
        (
            changed("hardware-id-key-sha3-384", "A".into()),
            "header-key-digest-wrong",
        ),
        (changed("timestamp", "yesterday".into()), "export-bad-timestamp"),
        (changed("serial", "1".into()), "export-unknown-header"),
        (changed("body", "text".into()), "export-unknown-header"),
        (changed("manufacturer", 7.into()), "export-malformed"),
        (with_key(1, p521), "key-kind-unsupported"),
        (
            with_key(
                1,
                "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDdlatRjRjogo3WojgGHFHYLugdUWAY9iR3fy4arWNA1KoS8kVw33cJibXr8bvwUAUparCwlvdbH6dvEOfou0/gCFQsHUfQrSDv+MuSUMAe8jzKE4qW+jK+xQU9a03GUnKHkkle+Q0pX/g6jXZ7r1/xAK5Do2kQ+X5xK9cipRgEKwIDAQAB",
            ),
            "key-size-unsupported",
        ),
        (with_key(1, "AAAA"), "key-not-der"),
    ]
}

#[test]
fn a_wrong_export_is_named_and_nothing_is_signed() {
    let station = Station::new();
    for (wrong, problem) in wrong_exports() {
        let output = station.sign(&["--output", "out"], &lines([export(0), wrong.clone()]));
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{wrong}");
        assert!(
            has_problem(&text, "stdin:2: ", problem) && code(&output) == "exports-refused",
            "{problem}: {text}"
        );
        station.holds_only(&["issuer.pem"]);
    }
}

#[test]
fn what_deceives_people_and_weak_rsa_keys_are_refused() {
    let station = Station::new();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/refused_exports");
    for (name, problem, header) in [
        ("bidi", "hardware-id-deceptive", "hardware-id"),
        ("esc", "hardware-id-deceptive", "hardware-id"),
        ("homo", "hardware-id-deceptive", "hardware-id"),
        ("nul", "hardware-id-deceptive", "hardware-id"),
        ("rsa-e3", "rsa-exponent-unsupported", "hardware-id-key"),
        ("rsa-prime-n", "rsa-modulus-prime", "hardware-id-key"),
        ("rsa-smallfactor", "rsa-modulus-small-factor", "hardware-id-key"),
    ] {
        let file = format!("{directory}/{name}.json");
        let output = station.sign(&["--output", "out", &file], b"");
        let text = stderr(&output);
        assert_eq!(code(&output), "exports-refused", "{name}: {text}");
        assert!(
            has_problem(&text, &format!("{file}:1: "), problem),
            "{name}: {text}"
        );
        assert!(text.contains(&format!("{header:?}")), "{name}: {text}");
        assert!(text.is_ascii(), "{name}: {text:?}");
        station.holds_only(&["issuer.pem"]);
    }
    for manufacturer in ["Acme\u{202e}", "Ac\u{200b}me", "Acme ", "Ac\u{1b}[31mme"] {
        let mut wrong = export(1);
        wrong["manufacturer"] = manufacturer.into();
        let text = stderr(&station.sign(&[], &lines([wrong])));
        assert!(
            has_problem(&text, "stdin:1: ", "manufacturer-deceptive"),
            "{text}"
        );
    }
}

#[test]
fn real_hardware_ids_and_manufacturers_are_signed() {
    let station = Station::new();
    let ids = include_str!("../../../../tests/data/hardware-ids-accepted.txt");
    let exports = ids.lines().zip(0..).map(|(id, number)| {
        let mut export = export(number);
        export["hardware-id"] = id.into();
        export["manufacturer"] = "Müller & Söhne 漢字".into();
        export
    });
    let output = station.sign(&[], &lines(exports));
    assert_eq!(stderr(&output), "");
    for id in ids.lines() {
        let header = format!("\nhardware-id: {id}\n");
        assert!(String::from_utf8_lossy(&output.stdout).contains(&header), "{id}");
    }
}

#[test]
fn all_errors_are_listed_and_the_others_can_be_signed() {
    let station = Station::new();
    let wrong = wrong_exports();
    let mut batch = vec![export(0)];
    batch.extend(wrong.iter().map(|(wrong, _)| wrong.clone()));
    batch.push(export(500));
    let output = station.sign(&["--keep-going", "--output", "out"], &lines(batch));
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1));
    for (line, (_, problem)) in (2..).zip(&wrong) {
        let start = format!("stdin:{line}: ");
        assert!(has_problem(&text, &start, problem), "{line}: {text}");
    }
    assert_eq!(code(&output), "exports-left-out");
    let verified = verify(&[station.path("out").to_str().unwrap()]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    assert_eq!(
        String::from_utf8(verified.stdout).unwrap().matches("ok ").count(),
        2
    );
}

#[test]
fn all_problems_of_an_export_are_listed() {
    let station = Station::new();
    let mut wrong = export(1);
    for (name, value) in [
        ("issuer-id", "other"),
        ("timestamp", "yesterday"),
        ("serial", "1"),
        ("body", "text"),
    ] {
        wrong[name] = value.into();
    }
    let text = stderr(&station.sign(&[], &lines([wrong])));
    for problem in ["header-differs", "export-bad-timestamp", "export-unknown-header"] {
        assert!(has_problem(&text, "stdin:1: ", problem), "{problem}: {text}");
    }
    assert_eq!(text.matches("[export-unknown-header]").count(), 2, "{text}");
}

#[test]
fn a_duplicate_key_is_refused() {
    let station = Station::new();
    let mut again = export(1);
    again["hardware-id"] = "another".into();
    let text = stderr(&station.sign(&[], &lines([export(1), again.clone()])));
    assert!(
        has_problem(&text, "stdin:2: ", "duplicate-hardware-key"),
        "{text}"
    );
    assert!(text.contains("(first at stdin:1)"), "{text}");
    // Both on one line.
    let text = stderr(&station.sign(&[], format!("{}{again}", export(1)).as_bytes()));
    assert!(
        has_problem(&text, "stdin:1: ", "duplicate-hardware-key"),
        "{text}"
    );
}

#[test]
fn the_forms_of_digest_are_not_mixed() {
    let station = Station::new();
    let der = |number| {
        let mut export = export(number);
        let key = STANDARD
            .decode(export["hardware-id-key"].as_str().unwrap())
            .unwrap();
        export["hardware-id-key-sha3-384"] = URL_SAFE_NO_PAD.encode(Sha3_384::digest(key)).into();
        export
    };
    let mixed = station.sign(&[], &lines([export(1), der(2)]));
    let text = stderr(&mixed);
    assert!(has_problem(&text, "stdin:2: ", "mixed-digest-forms"), "{text}");
    let output = station.sign(&["--output", "der.assert"], &lines([der(1), der(2)]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(code(&output), "digest-form-der");
    let file = station.path("der.assert");
    let file = file.to_str().unwrap();
    let verified = String::from_utf8(verify(&[file]).stdout).unwrap();
    assert!(verified.contains("ok    der "), "{verified}");
    assert!(verified.ends_with("warning [digest-form-der]\n"), "{verified}");
}

/// snapd 2.77.1 refuses the DER form.
#[test]
fn verification_says_that_snapd_refuses_the_der_form() {
    let der = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../snap-assertions/tests/snapd-2.77.1/der-digest.assert"
    );
    let output = verify(&["--json", der]);
    assert!(output.status.success(), "{}", stderr(&output));
    let line = &json_lines(&output.stdout)[0];
    assert_eq!(
        (&line["ok"], &line["snapd-refuses"]),
        (&true.into(), &true.into())
    );
    assert_eq!(line["warnings"][0]["code"], "digest-form-der", "{line}");

    let output = verify(&["--json", "--snapd", der]);
    assert_eq!(output.status.code(), Some(1));
    let line = &json_lines(&output.stdout)[0];
    assert_eq!(
        (&line["ok"], &line["snapd-refuses"]),
        (&false.into(), &true.into())
    );
    assert_eq!(line["code"], "digest-form-der", "{line}");

    let text = format!("{VECTORS}/hardware-identity-p256.assert");
    let output = verify(&["--json", "--snapd", &text]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(json_lines(&output.stdout)[0]["snapd-refuses"], false);
}

#[test]
fn bad_input_has_its_line_and_leaves_no_output() {
    let station = Station::new();
    let long = format!("{{\"manufacturer\": \"{}\"}}", "a".repeat(300_000));
    for (input, line, problem) in [
        (&b"aaaaaaaa"[..], 1, "export-not-object"),
        (b"\n\n[{}]", 3, "export-not-object"),
        (b"{\"type\": \"hardware-identity\"", 1, "export-truncated"),
        (b"{\"type\": \"\xff\"}", 1, "export-not-json"),
        (
            b"{\"type\": \"hardware-identity\", \"type\": \"model\"}",
            1,
            "export-malformed",
        ),
        (long.as_bytes(), 1, "export-too-large"),
    ] {
        let output = station.sign(&["--output", "out"], input);
        let text = stderr(&output);
        assert!(
            output.status.code() == Some(1) && has_problem(&text, &format!("stdin:{line}: "), problem),
            "{problem}: {text}"
        );
        station.holds_only(&["issuer.pem"]);
    }
    assert_eq!(code(&station.sign(&["--output", "out"], b"")), "nothing-to-sign");
    station.holds_only(&["issuer.pem"]);
}

#[test]
fn a_signal_ends_the_wait_for_input() {
    let station = Station::new();
    let mut child = Command::new(TOOL)
        .current_dir(station.directory.path())
        .args(["sign", "--key", "issuer.pem", "--output", "out"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // More than a pipe holds: once it is written, the tool is reading.
    let input = child.stdin.as_mut().unwrap();
    input.write_all(&lines((0..500).map(export))).unwrap();
    // Unlike an interrupt, this is not ignored if the tests run in the background.
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    // Its standard input is still open.
    let input = child.stdin.take();
    assert!(!child.wait().unwrap().success());
    drop(input);
    station.holds_only(&["issuer.pem"]);
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let station = Station::new();
    // More work than the test waits for; the interrupt comes when the output has been begun.
    station.write("batch.json", lines((0..5_000).map(export)));
    let child = Command::new(TOOL)
        .current_dir(station.directory.path())
        .args(["sign", "--key", "issuer.pem", "--output", "out", "batch.json"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while fs::read_dir(station.directory.path()).unwrap().count() < 3 {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(code(&output), "interrupted");
    station.holds_only(&["batch.json", "issuer.pem"]);
}

#[test]
fn verification_names_the_reason() {
    let station = Station::new();
    let good = String::from_utf8(vector("hardware-identity-p256.assert")).unwrap();
    let changed = station.write("changed", good.replace("EB2/0653", "EB2/0654"));
    let cut = station.write("cut", &good[..200]);
    let empty = station.write("empty", "");
    let unsigned = station.write("unsigned", vector("hardware-identity-p256.json"));
    let crlf = station.write("crlf", good.replace('\n', "\r\n"));
    for (file, problem) in [
        (&changed, "signature-wrong"),
        (&cut, "stream-truncated"),
        (&empty, "no-assertions"),
        (&crlf, "stream-crlf"),
        (&unsigned, "unsigned-export"),
        (&format!("{VECTORS}/model.assert"), "assertion-type-wrong"),
    ] {
        let output = verify(&[file]);
        let rows = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{rows}");
        assert!(
            rows.contains("FAIL") && rows.contains(&format!(" [{problem}]\n")),
            "{problem}: {rows}"
        );
        assert_eq!(code(&output), "assertions-failed");
        let json = verify(&["--json", file]).stdout;
        let lines = json_lines(&json);
        assert!(lines.len() == 2 && lines[0]["ok"] == false, "{lines:?}");
        assert_eq!(lines[0]["code"], *problem, "{lines:?}");
        assert!(lines[0]["problem"].is_string() && lines[0]["advice"].is_string());
        assert_eq!(lines[1]["code"], "assertions-failed");
        assert_eq!(lines[1]["failed"], 1);
    }
}

#[test]
fn verification_warns_of_what_sign_refuses() {
    // Signed as by any other program: without the checks of the station.
    let issuer = LocalSigner::from_der(&vector("issuer.pk8")).unwrap();
    let sign = |name: &str| {
        let path = format!("{}/tests/refused_exports/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let mut statement = Statement::from_json(&fs::read_to_string(path).unwrap()).unwrap();
        for name in ["authority-id", "issuer-id"] {
            statement.headers.set(name, "acme").unwrap();
        }
        statement
            .headers
            .set("timestamp", "2026-08-21T07:30:00Z")
            .unwrap();
        statement.sign(&issuer, &SignOptions::now()).unwrap().to_string()
    };
    let station = Station::new();
    for (name, problem) in [
        ("bidi", "hardware-id-deceptive"),
        ("rsa-e3", "rsa-exponent-unsupported"),
        ("rsa-smallfactor", "rsa-modulus-small-factor"),
    ] {
        let file = station.write(name, sign(name));
        let output = verify(&["--json", &file]);
        assert!(output.status.success(), "{}", stderr(&output));
        let line = &json_lines(&output.stdout)[0];
        assert_eq!(line["ok"], true, "{line}");
        assert_eq!(line["warnings"][0]["code"], problem, "{line}");
        let rows = String::from_utf8(verify(&[&file]).stdout).unwrap();
        assert!(rows.ends_with(&format!("warning [{problem}]\n")), "{rows}");
    }
}

#[test]
fn verification_needs_the_right_key_in_its_time() {
    let station = Station::new();
    let assertion = format!("{VECTORS}/hardware-identity-p256.assert");
    let with_key = |key: &str| {
        let output = Command::new(TOOL)
            .args(["verify", "--issuer-key", key, &assertion])
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout.clone()).unwrap() + &stderr(&output),
        )
    };
    assert!(with_key(&format!("{VECTORS}/issuer.public-key")).0);
    assert!(with_key(&format!("{VECTORS}/account-key-issuer.assert")).0);
    let pem = Command::new("openssl")
        .args(["pkey", "-in"])
        .arg(station.path("issuer.pem"))
        .arg("-pubout")
        .output();
    assert!(with_key(&station.write("public.pem", pem.unwrap().stdout)).0);
    let (verified, text) = with_key(&format!("{VECTORS}/brand.public-key"));
    assert!(!verified && text.contains("[signature-by-other-key]"), "{text}");
    let (verified, text) = with_key(&format!("{VECTORS}/model.assert"));
    assert!(!verified && text.contains("[issuer-key-invalid]"), "{text}");
    let account_key = String::from_utf8(vector("account-key-issuer.assert")).unwrap();
    let header = |name: &str| account_key.lines().find(|line| line.starts_with(name)).unwrap();
    let expired = account_key
        .replace(header("since: "), "since: 2026-01-01T00:00:00Z")
        .replace(header("until: "), "until: 2026-01-02T00:00:00Z");
    let expired = station.write("expired", expired);
    let (verified, text) = with_key(&expired);
    assert!(!verified && text.contains("[key-expired]"), "{text}");
    let output = Command::new(TOOL).args(["verify", &assertion]).output().unwrap();
    assert!(output.status.success() && code(&output) == "signatures-not-verified");
}
