//! `sign --ledger` and `ledger verify`.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::{Station, TOOL, code, export, json_lines, lines, stderr};

fn sha256(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Station {
    /// Signs these exports with the ledger, to stdout.
    fn record(&self, numbers: std::ops::Range<u32>) -> Output {
        self.sign(&["--ledger", "ledger.jsonl"], &lines(numbers.map(export)))
    }

    /// A ledger with this number of lines.
    fn with_lines(count: u32) -> Self {
        let station = Station::new();
        assert!(station.record(0..count).status.success());
        station
    }

    fn ledger(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("ledger.jsonl")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn verify_ledger(&self, files: &[&str]) -> Output {
        Command::new(TOOL)
            .current_dir(self.directory.path())
            .args(["--json", "ledger", "verify"])
            .args(files)
            .output()
            .unwrap()
    }
}

fn with_line_feeds(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The lines as a chain of their own.
fn chained(kinds: &[&str]) -> Vec<String> {
    let mut previous = "0".repeat(64);
    let kinds = kinds.iter().zip(1..);
    kinds
        .map(|(kind, sequence)| {
            let line = json!({"sequence": sequence, "previous": previous, "kind": kind}).to_string();
            previous = sha256(line.as_bytes());
            line
        })
        .collect()
}

#[test]
fn each_assertion_has_a_line_and_the_lines_are_a_chain() {
    let station = Station::new();
    let arguments = [
        "--output-dir",
        "signed",
        "--ledger",
        "ledger.jsonl",
        "--revision",
        "7",
    ];
    for numbers in [0..3, 3..5] {
        let output = station.sign(&arguments, &lines(numbers.map(export)));
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let ledger = station.ledger();
    assert_eq!(ledger.len(), 5);
    let mut previous = "0".repeat(64);
    for (line, number) in ledger.iter().zip(0..) {
        let found: Value = serde_json::from_str(line).unwrap();
        let hardware_id = format!("SN-{number:04}");
        let assertion = fs::read(station.path(&format!("signed/{hardware_id}.assert"))).unwrap();
        let text = String::from_utf8(assertion.clone()).unwrap();
        let header = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name));
            value.unwrap().to_owned()
        };
        let time = found["time"].as_str().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
        let expected = json!({
            "sequence": number + 1, "previous": previous, "time": time, "kind": "signed",
            "hardware-id": hardware_id, "revision": 7,
            "hardware-id-key-sha3-384": header("hardware-id-key-sha3-384: "),
            "sign-key-sha3-384": header("sign-key-sha3-384: "),
            "assertion-sha256": sha256(&assertion),
        });
        assert_eq!(found, expected);
        previous = sha256(line.as_bytes());
    }
    let mode = fs::metadata(station.path("ledger.jsonl"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    let verified = station.verify_ledger(&["ledger.jsonl"]);
    let expected = json!({"ok": true, "lines": 5, "sha256": previous});
    assert_eq!(json_lines(&verified.stdout), [expected]);
}

#[test]
fn a_large_batch_is_recorded_completely() {
    let station = Station::new();
    let output = station.record(0..200);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("type: hardware-identity\n").count(), 200);
    assert_eq!(station.ledger().len(), 200);
    // What was refused is not in the ledger.
    assert!(!station.sign(&["--ledger", "other.jsonl"], b"{}").status.success());
    station.holds_only(&["issuer.pem", "ledger.jsonl"]);
}

#[test]
fn a_ledger_with_a_wrong_end_is_refused() {
    let station = Station::with_lines(3);
    let good = station.ledger();
    let swapped = [&good[0], &good[2], &good[1]].map(String::clone);
    let of_service = chained(&["serial-issued", "serial-issued"]);
    let text = with_line_feeds(&good);
    for (wrong, problem) in [
        (text[..text.len() - 1].to_owned(), "ledger-line-incomplete"),
        (text[..40].to_owned(), "ledger-line-incomplete"),
        (format!("{text}{{\"sequ"), "ledger-line-incomplete"),
        (with_line_feeds(&swapped), "ledger-end-broken"),
        (with_line_feeds(&good[1..2]), "ledger-end-broken"),
        (with_line_feeds(&of_service), "ledger-foreign"),
        (format!("{text}\n"), "ledger-foreign"),
        ("type: model".to_owned(), "ledger-foreign"),
        ("notes\n".to_owned(), "ledger-foreign"),
    ] {
        station.write("ledger.jsonl", &wrong);
        let output = station.record(3..4);
        assert_eq!(output.status.code(), Some(1), "{problem}");
        assert_eq!(code(&output), problem, "{wrong}");
        assert_eq!(output.stdout, b"");
        assert_eq!(fs::read_to_string(station.path("ledger.jsonl")).unwrap(), wrong);
    }
}

#[test]
fn two_programs_do_not_use_a_ledger_at_once() {
    let station = Station::with_lines(1);
    let other = File::open(station.path("ledger.jsonl")).unwrap();
    other.lock().unwrap();
    let output = station.record(1..2);
    assert_eq!(code(&output), "ledger-file-busy");
    assert_eq!(output.stdout, b"");
    drop(other);
    assert!(station.record(1..2).status.success());
    assert_eq!(station.ledger().len(), 2);
}

#[test]
fn the_output_does_not_replace_the_ledger() {
    let station = Station::with_lines(1);
    let arguments = ["--ledger", "ledger.jsonl", "--output", "./ledger.jsonl"];
    let output = station.sign(&arguments, &lines([export(1)]));
    assert_eq!(code(&output), "ledger-is-output");
    assert_eq!(station.ledger().len(), 1);
}

#[test]
fn without_room_for_the_ledger_nothing_is_written() {
    let station = Station::with_lines(2);
    let before = station.ledger();
    station.write("export.json", export(2).to_string());
    // 1 KiB has room for two lines, and for the checked export in its temporary file.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
    let output = Command::new("bash")
        .current_dir(station.directory.path())
        .args(["-c", script, "bash", TOOL, "sign", "--key", "issuer.pem"])
        .args(["--ledger", "ledger.jsonl", "export.json"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(code(&output), "ledger-file-failed", "{}", stderr(&output));
    assert_eq!(output.stdout, b"");
    assert_eq!(station.ledger(), before);
    assert!(station.record(2..3).status.success());
}

#[test]
fn a_wrong_line_is_named() {
    let station = Station::with_lines(5);
    let good = station.ledger();
    let changed = good[2].replace("SN-0002", "SN-9999");
    let mut with_change = good.clone();
    with_change[2].clone_from(&changed);
    let mut swapped = good.clone();
    swapped.swap(1, 2);
    let removed = [&good[..2], &good[3..]].concat();
    let added = [&good[..2], &good[1..]].concat();
    let cut = with_line_feeds(&good);
    for (wrong, line) in [
        (with_line_feeds(&with_change), 3),
        (with_line_feeds(&swapped), 2),
        (with_line_feeds(&removed), 3),
        (with_line_feeds(&added), 3),
        (with_line_feeds(&good[1..]), 1),
        (cut[..cut.len() - 1].to_owned(), 5),
        ("notes\n".to_owned(), 1),
    ] {
        station.write("wrong.jsonl", &wrong);
        let output = station.verify_ledger(&["wrong.jsonl"]);
        assert_eq!(output.status.code(), Some(1), "{wrong}");
        assert_eq!(code(&output), "ledger-chain-broken", "{wrong}");
        let failure = json_lines(&output.stdout).pop().unwrap();
        assert_eq!(failure["line"], line, "{wrong}");
    }
}

#[test]
fn older_files_and_ledgers_of_the_model_service_are_verified() {
    let station = Station::new();
    let lines = chained(&["serial-issued", "identity-blocked", "serial-released"]);
    station.write("old.jsonl", with_line_feeds(&lines[..2]));
    station.write("new.jsonl", with_line_feeds(&lines[2..]));
    let output = station.verify_ledger(&["old.jsonl", "new.jsonl"]);
    assert_eq!(json_lines(&output.stdout)[0]["lines"], 3);
    let output = station.verify_ledger(&["new.jsonl"]);
    assert_eq!(code(&output), "ledger-chain-broken");
}

#[test]
fn what_a_killed_program_wrote_is_in_the_ledger() {
    let station = Station::new();
    station.write("batch.json", lines((0..2_000).map(export)));
    let mut child = Command::new(TOOL)
        .current_dir(station.directory.path())
        .args([
            "sign",
            "--key",
            "issuer.pem",
            "--ledger",
            "ledger.jsonl",
            "batch.json",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut text = vec![0; 300_000];
    stdout.read_exact(&mut text).unwrap();
    child.kill().unwrap();
    stdout.read_to_end(&mut text).unwrap();
    child.wait().unwrap();
    let written = String::from_utf8(text).unwrap();
    let written = written.matches("type: hardware-identity\n").count();
    // The signal can leave an incomplete line.
    let text = fs::read_to_string(station.path("ledger.jsonl")).unwrap();
    let complete = &text[..=text.rfind('\n').unwrap()];
    station.write("ledger.jsonl", complete);
    let recorded = complete.lines().count();
    assert!(
        written > 100 && written <= recorded && recorded < 2_000,
        "{written} {recorded}"
    );
    assert!(station.verify_ledger(&["ledger.jsonl"]).status.success());
}

#[test]
fn a_ledger_that_is_replaced_is_noticed() {
    let station = Station::new();
    station.write("batch.json", lines((0..2_000).map(export)));
    let child = Command::new(TOOL)
        .current_dir(station.directory.path())
        .args(["sign", "--key", "issuer.pem", "--ledger", "ledger.jsonl"])
        .args(["--output", "out", "batch.json"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ledger = station.path("ledger.jsonl");
    while fs::metadata(&ledger).map_or(0, |metadata| metadata.len()) == 0 {
        std::thread::yield_now();
    }
    fs::copy(&ledger, station.path("copy")).unwrap();
    fs::rename(station.path("copy"), &ledger).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), "ledger-file-changed");
    station.holds_only(&["batch.json", "issuer.pem", "ledger.jsonl"]);
}
