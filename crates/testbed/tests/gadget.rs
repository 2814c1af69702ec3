//! A whole gadget snap: `testbed hook` runs single hooks of it, and what its snap.yaml says counts.

#![allow(clippy::unwrap_used)] // helpers of tests may, as tests may

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
        // Written by another process: a file that this one has open, or a child of it has inherited, cannot be executed.
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
fn a_hook_has_the_environment_of_snap_yaml() {
    let gadget = Gadget::new();
    let output = gadget.testbed(&["hook", "configure"]);
    let settings = gadget.path("snap/settings");
    let expected = format!("hello from my-gadget 1.5: {}\n", settings.display());
    assert_eq!(printed(&output), (expected, String::new()));
}

#[test]
fn a_hook_in_install_mode_may_halt_the_device() {
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
        assert_eq!(stderr, "testbed: the hook asked snapd for halt.\n");
    }
    gadget.executable("snap/meta/hooks/install-device", "snapctl system-mode");
    let (stdout, stderr) = printed(&gadget.testbed(&["hook", "install-device"]));
    assert_eq!(stdout, "chained\nsystem-mode: run\nseed-loaded: true\n");
    assert_eq!(stderr, "");
}

#[test]
fn options_reach_the_hook_and_what_it_sets_stays() {
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
fn what_configure_refuses_is_not_kept() {
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
fn a_hook_that_fails_or_is_missing_is_said() {
    let gadget = Gadget::new();
    gadget.executable("snap/meta/hooks/configure", "echo no such option >&2; exit 3");
    let output = gadget.testbed(&["hook", "configure"]);
    assert_eq!(output.status.code(), Some(1));
    let (_, stderr) = printed(&output);
    let expected = "no such option\ntestbed: the hook configure failed with exit status: 3. snapd shows what it printed above.\n";
    assert_eq!(stderr, expected);

    let output = gadget.testbed(&["hook", "prepare-serial"]);
    assert_eq!(output.status.code(), Some(1));
    let (_, stderr) = printed(&output);
    assert!(
        stderr.contains("has no hook prepare-serial. Name one of those in its meta/hooks"),
        "{stderr}"
    );
}

#[test]
fn a_registration_takes_the_gadgets_hooks() {
    let gadget = Gadget::new();
    gadget.executable(
        "snap/meta/hooks/prepare-device",
        "snapctl set registration.body='{}'",
    );
    let arguments = ["onboard", "--device-service-url", "http://127.0.0.1:1/"];
    let (_, stderr) = printed(&gadget.testbed(&arguments));
    assert!(stderr.contains("hook prepare-device: done"), "{stderr}");
    let unmarshal = r#"cannot unmarshal snap "my-gadget" option "registration.body" into *string"#;
    let last = stderr.lines().last().unwrap();
    assert!(
        last.contains(unmarshal) && last.contains("no --model"),
        "{stderr}"
    );
}
