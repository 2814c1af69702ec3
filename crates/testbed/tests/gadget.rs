//! `testbed hook` and `testbed onboard` with an unpacked gadget snap and its snap.yaml.

#![allow(clippy::unwrap_used)] // also in helper functions of tests

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

const SNAP_YAML: &str = "\
name: my-gadget
version: '1.5'
type: gadget
base: core24
environment:
  SETTINGS: $SNAP/settings
hooks:
  configure:
    environment:
      GREETING: hello from ${SNAP_NAME} $SNAP_VERSION
  install-device:
    command-chain: [bin/chain]
";

struct Gadget(TempDir);

impl Gadget {
    fn new() -> Self {
        let gadget = Gadget(tempfile::tempdir().unwrap());
        fs::create_dir_all(gadget.path("snap/meta/hooks")).unwrap();
        fs::create_dir_all(gadget.path("snap/bin")).unwrap();
        fs::write(gadget.path("snap/meta/snap.yaml"), SNAP_YAML).unwrap();
        gadget.executable("snap/meta/hooks/configure", r#"echo "$GREETING: $SETTINGS""#);
        gadget.executable("snap/bin/chain", r#"echo chained; exec "$@""#);
        gadget
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn executable(&self, name: &str, script: &str) {
        // Another process writes the file: Linux does not execute a file that is open for writing,
        // also in a child process that inherited it.
        let written = Command::new("sh")
            .args([
                "-c",
                r#"printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod +x "$1""#,
                "sh",
            ])
            .arg(self.path(name))
            .arg(script)
            .status();
        assert!(written.unwrap().success());
    }

    fn testbed(&self, arguments: &[&str]) -> Output {
        let (command, arguments) = arguments.split_first().unwrap();
        Command::new(env!("CARGO_BIN_EXE_testbed"))
            .args([command, "--device-folder"])
            .arg(self.path("device"))
            .arg("--gadget")
            .arg(self.path("snap"))
            .args(arguments)
            .env("TCTI", "none")
            .output()
            .unwrap()
    }
}

#[track_caller]
fn printed(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_hook_gets_the_environment_of_snap_yaml() {
    let gadget = Gadget::new();
    let output = gadget.testbed(&["hook", "configure"]);
    let settings = gadget.path("snap/settings");
    let expected = format!("hello from my-gadget 1.5: {}\n", settings.display());
    assert_eq!(printed(&output), (expected, String::new()));
}

#[test]
fn a_hook_in_install_mode_can_request_a_halt() {
    let gadget = Gadget::new();
    let halt = "snapctl system-mode; snapctl reboot --halt";
    gadget.executable("snap/meta/hooks/install-device", halt);
    let arguments = ["hook", "--system-mode", "install", "--factory", "install-device"];
    for _ in 0..2 {
        let (stdout, stderr) = printed(&gadget.testbed(&arguments));
        assert_eq!(
            stdout,
            "chained\nsystem-mode: install\nseed-loaded: true\nfactory: true\n"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains("halt"), "{stderr}");
    }
    gadget.executable("snap/meta/hooks/install-device", "snapctl system-mode");
    let (stdout, stderr) = printed(&gadget.testbed(&["hook", "install-device"]));
    assert_eq!(stdout, "chained\nsystem-mode: run\nseed-loaded: true\n");
    assert_eq!(stderr, "");
}

#[test]
fn the_hook_reads_options_and_its_own_options_are_kept() {
    let gadget = Gadget::new();
    gadget.executable(
        "snap/meta/hooks/configure",
        "snapctl set b=\"$(snapctl get a.c)!\"",
    );
    let arguments = ["hook", "--set", "a={\"c\":\"text\"}", "configure"];
    assert!(gadget.testbed(&arguments).status.success());
    gadget.executable("snap/meta/hooks/configure", "snapctl get b");
    assert_eq!(printed(&gadget.testbed(&["hook", "configure"])).0, "text!\n");
}

#[test]
fn an_option_that_configure_refuses_is_not_kept() {
    let gadget = Gadget::new();
    gadget.executable("snap/meta/hooks/configure", "test \"$(snapctl get a)\" != wrong");
    for (value, succeeds) in [("right", true), ("wrong", false)] {
        let output = gadget.testbed(&["hook", "--set", &format!("a={value}"), "configure"]);
        assert_eq!(output.status.success(), succeeds, "{output:?}");
    }
    gadget.executable("snap/meta/hooks/configure", "snapctl get a");
    assert_eq!(printed(&gadget.testbed(&["hook", "configure"])).0, "right\n");
}

#[test]
fn a_failed_or_missing_hook_is_an_error_that_names_it() {
    let gadget = Gadget::new();
    gadget.executable("snap/meta/hooks/configure", "echo no such option >&2; exit 3");
    let output = gadget.testbed(&["hook", "configure"]);
    assert_eq!(output.status.code(), Some(1));
    let (_, stderr) = printed(&output);
    let (printed_by_hook, last) = stderr.split_once('\n').unwrap();
    assert_eq!(printed_by_hook, "no such option");
    assert!(
        last.contains("configure") && last.contains("exit status: 3"),
        "{stderr}"
    );

    let output = gadget.testbed(&["hook", "prepare-serial"]);
    assert_eq!(output.status.code(), Some(1));
    let (_, stderr) = printed(&output);
    assert!(stderr.contains("prepare-serial"), "{stderr}");
}

#[test]
fn a_registration_runs_the_gadgets_hooks() {
    let gadget = Gadget::new();
    gadget.executable(
        "snap/meta/hooks/prepare-device",
        "snapctl set registration.body='{}'",
    );
    let arguments = ["onboard", "--device-service-url", "http://127.0.0.1:1/"];
    let (_, stderr) = printed(&gadget.testbed(&arguments));
    let unmarshal = r#"cannot unmarshal snap "my-gadget" option "registration.body" into *string"#;
    let last = stderr.lines().last().unwrap();
    // prepare-device has set the object that snapd cannot read as a string.
    assert!(last.contains(unmarshal) && last.contains("--model"), "{stderr}");
}
