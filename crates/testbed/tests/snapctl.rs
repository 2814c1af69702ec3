//! The stand-in for `snapctl` behaves as snapd's. The tables have one row per fact.

#![allow(clippy::unwrap_used)] // also in helper functions of tests

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

/// The state file of a device, which is all that the stand-in needs.
struct Store {
    _directory: TempDir,
    file: PathBuf,
}

impl Store {
    fn new(content: &Value) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("device.json");
        fs::write(&file, content.to_string()).unwrap();
        Store {
            _directory: directory,
            file,
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        snapctl(arguments)
            .env("SNAP_COOKIE", &self.file)
            .output()
            .unwrap()
    }

    fn config(&self) -> Value {
        let content: Value = serde_json::from_slice(&fs::read(&self.file).unwrap()).unwrap();
        content["config"].clone()
    }
}

fn snapctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snapctl"));
    command.env_clear().args(arguments);
    command
}

#[track_caller]
fn refused(output: &Output) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        output.stdout.is_empty() && output.stderr.starts_with(b"error: "),
        "{output:?}"
    );
}

#[test]
fn get_prints_as_in_snapd() {
    let store = Store::new(&json!({ "config": {
        "text": "a \"b\" <c>", "number": 7, "yes": true, "list": [1, "x"], "empty": {},
        "tree": { "z": 1, "inner": { "name": "<&>" } },
    }}));
    let rows: &[(&[&str], &str)] = &[
        (&["text"], "a \"b\" <c>\n"),
        (&["number"], "7\n"),
        (&["yes"], "true\n"),
        (&["list"], "[\n\t1,\n\t\"x\"\n]\n"),
        (&["empty"], "{}\n"),
        (&["tree.inner.name"], "<&>\n"),
        (
            &["tree"],
            "{\n\t\"inner\": {\n\t\t\"name\": \"\\u003c\\u0026\\u003e\"\n\t},\n\t\"z\": 1\n}\n",
        ),
        // A missing option, and a missing option below a missing one.
        (&["no"], "\n"),
        (&["no.such"], "\n"),
        (&["tree.no"], "\n"),
        // Typed: JSON, or null.
        (&["-t", "text"], "\"a \\\"b\\\" \\u003cc\\u003e\"\n"),
        (&["-t", "number"], "7\n"),
        (&["-t", "no"], "null\n"),
        (&["number", "-t"], "7\n"),
        // A document: the names as given, flat, without missing options.
        (&["-d", "number"], "{\n\t\"number\": 7\n}\n"),
        (&["-d", "no"], "{}\n"),
        (
            &["-d", "tree.z", "no", "number"],
            "{\n\t\"number\": 7,\n\t\"tree.z\": 1\n}\n",
        ),
        // Several names give a document also without -d, with or without -t.
        (&["tree.z", "no"], "{\n\t\"tree.z\": 1\n}\n"),
        (&["-t", "tree.z", "no"], "{\n\t\"tree.z\": 1\n}\n"),
        (&["--", "yes"], "true\n"),
    ];
    for (arguments, expected) in rows {
        let output = store.run(&[&["get"], *arguments].concat());
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{arguments:?}: {output:?}"
        );
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            *expected,
            "{arguments:?}"
        );
    }
}

#[test]
fn set_and_unset_store_as_in_snapd() {
    let rows: &[(&[&str], Value)] = &[
        // Plain: JSON if it parses, else a string.
        (&["set", "k=1"], json!({"k": 1})),
        (&["set", "k=true"], json!({"k": true})),
        (&["set", "k={\"a\":[1]}"], json!({"k": {"a": [1]}})),
        (&["set", "k=\"quoted\""], json!({"k": "quoted"})),
        (&["set", "k=plain text"], json!({"k": "plain text"})),
        (&["set", "k={broken"], json!({"k": "{broken"})),
        (&["set", "k=1 2"], json!({"k": "1 2"})),
        (&["set", "k="], json!({"k": ""})),
        (&["set", "k=a=b=c"], json!({"k": "a=b=c"})),
        (&["set", "k=http://host:80/"], json!({"k": "http://host:80/"})),
        // The reader accepts an extra closing bracket.
        (&["set", "k={}}"], json!({"k": {}})),
        // Typed values (-t) and strings (-s).
        (&["set", "-t", "k={\"a\":null,\"b\":1}"], json!({"k": {"b": 1}})),
        (&["set", "-s", "k=1"], json!({"k": "1"})),
        (&["set", "-s", "k={\"a\":1}"], json!({"k": "{\"a\":1}"})),
        (&["set", "k=1", "-s"], json!({"k": "1"})),
        // Several options in one call, and dotted names.
        (&["set", "a=1", "b=x"], json!({"a": 1, "b": "x"})),
        (
            &["set", "a.b.c=1", "a.b.d=2"],
            json!({"a": {"b": {"c": 1, "d": 2}}}),
        ),
        (&["set", "a={\"x\":1}", "a.y=2"], json!({"a": {"x": 1, "y": 2}})),
        (&["set", "k=1", "k=2"], json!({"k": 2})),
        // A null, or a name with !, unsets an option. The objects above it are created.
        (&["set", "k=null"], json!({})),
        (&["set", "k!"], json!({})),
        (&["set", "a.b!"], json!({"a": {}})),
        (&["set", "k=[null]"], json!({"k": [null]})),
        (&["unset", "k"], json!({})),
        (&["unset", "a.b", "k"], json!({"a": {}})),
        // unset ignores an invalid name.
        (&["unset", "Not_A-Name"], json!({})),
    ];
    for (arguments, expected) in rows {
        let store = Store::new(&json!({}));
        let output = store.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert!(
            output.stdout.is_empty() && output.stderr.is_empty(),
            "{arguments:?}: {output:?}"
        );
        assert_eq!(store.config(), *expected, "{arguments:?}");
    }
}

#[test]
fn changes_apply_to_existing_options() {
    let before = json!({ "text": "x", "tree": { "a": 1, "b": { "c": 2 } } });
    let rows: &[(&[&str], bool, Value)] = &[
        (
            &["set", "tree.a=9"],
            true,
            json!({ "text": "x", "tree": { "a": 9, "b": { "c": 2 } } }),
        ),
        (&["set", "tree=9"], true, json!({ "text": "x", "tree": 9 })),
        (
            &["unset", "tree.b.c"],
            true,
            json!({ "text": "x", "tree": { "a": 1, "b": {} } }),
        ),
        (&["unset", "text", "tree"], true, json!({})),
        (
            &["set", "tree.a!", "text=y"],
            true,
            json!({ "text": "y", "tree": { "b": { "c": 2 } } }),
        ),
        // Below a value that is not an object: set refuses, unset ignores it.
        (&["set", "text.a=1"], false, before.clone()),
        (&["unset", "text.a"], true, before.clone()),
        (&["set", "text={}", "text.a=1"], false, before.clone()),
        // If one assignment is invalid, no assignment of the call is kept.
        (&["set", "new=1", "text.a=1"], false, before.clone()),
        (&["set", "-t", "new=1", "other={broken"], false, before.clone()),
    ];
    for (arguments, succeeds, expected) in rows {
        let store = Store::new(&json!({ "config": before }));
        let output = store.run(arguments);
        assert_eq!(output.status.success(), *succeeds, "{arguments:?}: {output:?}");
        assert_eq!(store.config(), *expected, "{arguments:?}");
    }
}

#[test]
fn invalid_calls_fail_as_in_snapd() {
    let store = Store::new(&json!({ "config": { "text": "x" } }));
    let rows: &[&[&str]] = &[
        &[],
        &["no-such-command"],
        &["get"],
        &["get", ""],
        &["get", "-t", "-d", "text"],
        &["get", "-td", "text"],
        &["get", "-x", "text"],
        &["get", "--d", "text"],
        &["get", "text.below"],
        &["get", "Upper"],
        &["get", "under_score"],
        &["get", "a..b"],
        &["get", "-d", "a."],
        &["get", ":plug", "name"],
        &["set"],
        &["set", "name"],
        &["set", "name", "a=1"],
        &["set", "=1"],
        &["set", "!"],
        &["set", "-s", "-t", "a=1"],
        &["set", "-t", "a=text"],
        &["set", "-t", "a="],
        &["set", "-t", "a=1 2"],
        &["set", "Upper=1"],
        &["set", "12=1"],
        &["set", "a-=1"],
        &["set", "-- -a=1"],
        &["set", "a--b=1"],
        &["set", ":plug", "a=1"],
        &["unset"],
        &["reboot", "--halt"],
        &["reboot"],
    ];
    for arguments in rows {
        refused(&store.run(arguments));
        assert_eq!(store.config(), json!({ "text": "x" }), "{arguments:?}");
    }
}

#[test]
fn names_inside_objects_are_checked_since_core26() {
    for (base, accepted) in [
        ("", true),
        ("core22", true),
        ("core24", true),
        ("core26", false),
        ("core28", false),
    ] {
        for value in [r#"k={"Upper":1}"#, r#"k=[{"a":{"under_score":1}}]"#] {
            let store = Store::new(&json!({ "base": base }));
            assert_eq!(
                store.run(&["set", value]).status.success(),
                accepted,
                "{base}: {value}"
            );
        }
        let store = Store::new(&json!({ "base": base }));
        assert!(
            store
                .run(&["set", r#"k={"hardware-id-key-sha3-384":1}"#])
                .status
                .success(),
            "{base}"
        );
    }
}

#[test]
fn calls_outside_of_a_snap_fail() {
    let store = Store::new(&json!({}));
    let missing = store.file.with_file_name("missing");
    for cookie in [Path::new(""), Path::new("device.json"), &missing] {
        refused(
            &snapctl(&["get", "k"])
                .env("SNAP_COOKIE", cookie)
                .output()
                .unwrap(),
        );
    }
    refused(&snapctl(&["get", "k"]).output().unwrap());
    // If the variable with the newer name is missing, the older name counts.
    assert!(
        snapctl(&["get", "k"])
            .env("SNAP_CONTEXT", &store.file)
            .output()
            .unwrap()
            .status
            .success()
    );
}

#[test]
fn help_works_outside_of_a_snap() {
    for arguments in [&["--help"][..], &["get", "-h"]] {
        let output = snapctl(arguments).output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn system_mode_prints_yaml() {
    let rows = [
        (json!({}), "system-mode: run\nseed-loaded: true\n"),
        (
            json!({ "mode": "install", "seed_loaded": false, "factory": true, "storage_encrypted": true }),
            "system-mode: install\nseed-loaded: false\nfactory: true\nstorage-encrypted: managed\n",
        ),
    ];
    for (system, expected) in rows {
        let store = Store::new(&json!({ "system": system }));
        let output = store.run(&["system-mode"]);
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}

#[test]
fn bytes_that_are_not_utf_8_become_replacement_characters() {
    use std::os::unix::ffi::OsStrExt;
    let store = Store::new(&json!({}));
    let mut command = snapctl(&["set"]);
    command.arg(std::ffi::OsStr::from_bytes(b"k=a\xFFb"));
    assert!(
        command
            .env("SNAP_COOKIE", &store.file)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(store.config(), json!({ "k": "a\u{FFFD}b" }));
}

#[test]
fn concurrent_calls_are_all_kept() {
    const CALLERS: usize = 20;
    let store = Store::new(&json!({}));
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let store = &store;
            scope.spawn(move || {
                assert!(
                    store
                        .run(&["set", &format!("k{caller}={caller}")])
                        .status
                        .success()
                )
            });
        }
    });
    assert_eq!(store.config().as_object().unwrap().len(), CALLERS);
    let calls = fs::read_to_string(store.file.with_file_name("device.json.calls")).unwrap();
    assert_eq!(calls.lines().count(), CALLERS);
}

#[test]
fn calls_are_recorded_with_their_arguments() {
    let store = Store::new(&json!({}));
    store.run(&["set", "-s", "k=a \"b\"\n"]);
    store.run(&["get", "Bad"]);
    let calls = fs::read_to_string(store.file.with_file_name("device.json.calls")).unwrap();
    let calls: Vec<Value> = calls
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        calls,
        [json!(["set", "-s", "k=a \"b\"\n"]), json!(["get", "Bad"])]
    );
}
