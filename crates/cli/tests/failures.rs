//! How the tool ends: failures as lines and as JSON, exit statuses, and a closed stdout.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

const TOOL: &str = env!("CARGO_BIN_EXE_hardware-identity");
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../snap-assertions/tests/vectors");

/// A settings directory; the tool does not wait for the TPM, which is missing.
static SNAP: LazyLock<TempDir> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("hardware-identity.toml"), "tpm-wait = 0\n").unwrap();
    directory
});

/// Runs the tool without a record and without a TPM.
fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(TOOL);
    command.args(arguments);
    for name in ["SNAP_SAVE_DATA", "SNAP_COMMON", "SNAP_COOKIE", "SNAP_CONTEXT"] {
        command.env_remove(name);
    }
    command.env("SNAP", SNAP.path());
    command.env("TCTI", "device:/no/such/tpm");
    command
}

fn run(arguments: &[&str]) -> Output {
    tool(arguments).stdin(Stdio::null()).output().unwrap()
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.lines().last().unwrap_or_default().to_owned()
}

/// The failure has the same code on stderr and in the last line of stdout.
fn fails_with(arguments: &[&str], status: i32, code: &str) {
    let output = run(arguments);
    let line = last_line(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {line}");
    assert!(line.starts_with("hardware-identity: "), "{arguments:?}: {line}");
    assert!(line.ends_with(&format!(" [{code}]")), "{arguments:?}: {line}");
    let object: Value = serde_json::from_str(&last_line(&output.stdout)).unwrap();
    assert_eq!(object["code"], code, "{arguments:?}");
    for member in ["cause", "advice"] {
        assert!(
            !object[member].as_str().unwrap().is_empty(),
            "{arguments:?}: {object}"
        );
    }
}

#[test]
fn every_command_reports_its_failure_as_json() {
    let none = "/no/such/file";
    fails_with(&["sign", "--json", "--key", none], 1, "file-unreadable");
    fails_with(&["verify", "--json", none], 1, "file-unreadable");
    fails_with(&["--json", "verify", none], 1, "file-unreadable");
    for arguments in [
        &["export"][..],
        &["show"],
        &["show", "--check"],
        &["check-gadget", none],
    ] {
        let output = run(&[arguments, &["--json"]].concat());
        let object: Value = serde_json::from_str(&last_line(&output.stdout)).unwrap();
        let code = object["code"].as_str().unwrap();
        assert!(
            last_line(&output.stderr).ends_with(&format!(" [{code}]")),
            "{arguments:?}"
        );
        assert!(matches!(output.status.code(), Some(1 | 3)), "{arguments:?}");
    }
}

#[test]
fn a_wrong_command_line_is_reported_as_json() {
    for arguments in [
        &["--json"][..],
        &["verify", "--json"],
        &["completions", "--json", "no-such-shell"],
        &["sign", "--key", "a", "--gpg-key", "b", "--json"],
        &["export", "--json", "--no-such-flag"],
        &["show", "--json", "surplus"],
    ] {
        fails_with(arguments, 2, "usage");
    }
    let output = run(&["verify", "--no-such-flag"]);
    assert!(output.stdout.is_empty());
    assert!(last_line(&output.stderr).ends_with(" [usage]"));
    // After `--` it is a file.
    assert!(run(&["check-gadget", "--", "--json"]).stdout.is_empty());
}

#[test]
fn help_is_not_a_failure() {
    for arguments in [&["--help"][..], &["sign", "--help"], &["--version"]] {
        let output = run(arguments);
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{arguments:?}"
        );
    }
}

/// As `| head` does: reads a little, then closes the pipe.
fn with_reader_that_stops(arguments: &[&str]) -> Output {
    let mut child = tool(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    drop(stdout);
    child.wait_with_output().unwrap()
}

#[test]
fn a_closed_stdout_ends_the_tool_quietly_and_not_as_a_success() {
    let directory = tempfile::tempdir().unwrap();
    let one = fs::read_to_string(Path::new(VECTORS).join("hardware-identity-p256.assert")).unwrap();
    let many = directory.path().join("many.assert");
    // More than pipe and buffers hold.
    fs::write(&many, vec![one; 3000].join("\n")).unwrap();
    for arguments in [&["verify"][..], &["verify", "--json"]] {
        let output = with_reader_that_stops(&[arguments, &[many.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(141));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn a_named_fifo_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let fifo = fifo.to_str().unwrap();
    fails_with(&["verify", "--json", fifo], 1, "file-not-regular");
    fails_with(
        &["verify", "--json", "--issuer-key", fifo, "-"],
        1,
        "file-not-regular",
    );
}
