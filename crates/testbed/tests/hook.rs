//! Runs of hooks as in snapd. The hooks are small shell scripts.

#![allow(clippy::unwrap_used)] // also in helper functions of tests

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::{Device, HookOutcome, SystemMode};

/// A time limit that only a hanging test reaches.
const LIMIT: Duration = Duration::from_secs(30);

/// A hook that is a short shell script.
struct Hook {
    _directory: TempDir,
    path: PathBuf,
}

impl Hook {
    fn new(name: &str, script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        executable(&path, script);
        Hook {
            _directory: directory,
            path,
        }
    }
}

fn executable(path: &Path, script: &str) {
    // Another process writes the file: Linux does not execute a file that is open for writing, also
    // in a child process that inherited it.
    let written = std::process::Command::new("sh")
        .args(["-c", r#"printf '#!/bin/sh\n%s\n' "$2" >"$1""#, "sh"])
        .arg(path)
        .arg(script)
        .status();
    assert!(written.unwrap().success());
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn run(device: &Device, name: &str, script: &str) -> HookOutcome {
    device
        .hook(&Hook::new(name, script).path)
        .limit(LIMIT)
        .run()
        .unwrap()
}

/// Returns true if a process exists and is not a zombie.
fn is_running(process_id: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process_id}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

#[test]
fn the_environment_has_only_the_variables_of_snapd() {
    let device = Device::new().unwrap();
    let outcome = run(
        &device,
        "prepare-device",
        "env | cut -d= -f1 | grep -vxE 'PWD|OLDPWD|SHLVL|_' | sort",
    );
    let expected = "HOME\nPATH\nSNAP\nSNAP_ARCH\nSNAP_COMMON\nSNAP_CONTEXT\nSNAP_COOKIE\nSNAP_DATA\n\
        SNAP_INSTANCE_NAME\nSNAP_NAME\nSNAP_REVISION\nSNAP_SAVE_DATA\nSNAP_VERSION\n";
    assert_eq!(outcome.stdout, expected);
}

#[test]
fn variables_can_be_added_and_removed() {
    let device = Device::new().unwrap();
    let hook = Hook::new("prepare-device", r#"echo "$TCTI ${SNAP_SAVE_DATA-none} $HOME""#);
    let command = device
        .hook(&hook.path)
        .env("TCTI", "mine")
        .env("HOME", "/h")
        .without_env("SNAP_SAVE_DATA");
    assert_eq!(command.run().unwrap().stdout, "mine none /h\n");
}

#[test]
fn the_directories_exist_and_are_writable() {
    let device = Device::new().unwrap();
    device.write_settings("algorithm = \"x\"\n").unwrap();
    let script =
        r#"cat "$SNAP/hardware-identity.toml" && touch "$SNAP_DATA/d" "$SNAP_COMMON/c" "$SNAP_SAVE_DATA/s""#;
    let outcome = run(&device, "prepare-device", script);
    assert!(outcome.status.success(), "{}", outcome.merged);
    assert_eq!(outcome.stdout, "algorithm = \"x\"\n");
    for file in [
        device.data().join("d"),
        device.common().join("c"),
        device.save_data().join("s"),
    ] {
        assert!(file.exists());
    }
}

#[test]
fn a_kept_device_keeps_its_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("device");
    Device::kept_in(&path)
        .unwrap()
        .set_config("a.b", json!(1))
        .unwrap();
    assert_eq!(
        Device::kept_in(&path).unwrap().config("a").unwrap(),
        Some(json!({ "b": 1 }))
    );
}

#[test]
fn standard_input_is_empty() {
    let outcome = run(
        &Device::new().unwrap(),
        "prepare-device",
        "cat; readlink /proc/self/fd/0",
    );
    assert_eq!(outcome.stdout, "/dev/null\n");
}

#[test]
fn output_is_available_separately_and_merged() {
    let outcome = run(
        &Device::new().unwrap(),
        "prepare-device",
        "echo out; echo err >&2; exit 3",
    );
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str()),
        ("out\n", "err\n")
    );
    assert_eq!(outcome.merged.len(), "out\nerr\n".len());
    assert_eq!(outcome.status.code(), Some(3));
    assert!(!outcome.timed_out);
}

#[test]
fn the_change_shows_the_end_of_the_output_or_the_exit_status() {
    let device = Device::new().unwrap();
    let shown = |script| run(&device, "prepare-device", script).change_text();
    assert_eq!(shown("exit 3"), "exit status 3");
    assert_eq!(shown("echo; echo why >&2; exit 1"), "why");
    let lines = shown("seq 1 500; exit 1");
    assert!(lines.starts_with("401\n") && lines.ends_with("\n500"), "{lines}");
    let bytes = shown("head -c 20000 /dev/zero | tr '\\0' x; echo end; exit 1");
    assert_eq!(bytes.len(), 10 * 1024);
    assert!(bytes.ends_with("xend"));
}

#[test]
fn snapctl_is_on_the_path_and_its_calls_are_recorded() {
    let device = Device::new().unwrap();
    device
        .set_config("registration.request-id", json!("nonce"))
        .unwrap();
    let outcome = run(
        &device,
        "prepare-device",
        "snapctl get registration.request-id; snapctl unset registration.body",
    );
    assert_eq!(outcome.merged, "nonce\n");
    assert_eq!(
        device.calls().unwrap(),
        [
            vec!["get", "registration.request-id"],
            vec!["unset", "registration.body"]
        ]
    );
}

#[test]
fn options_that_a_hook_sets_are_committed_as_in_snapd() {
    let rows: [(&str, &str, Option<Value>); 6] = [
        ("prepare-device", "snapctl set k=1", Some(json!(1))),
        ("prepare-device", "snapctl set k=1; exit 1", None),
        ("prepare-device", "snapctl set k=1; kill -9 $$", None),
        ("configure", "snapctl set k=1; exit 1", None),
        ("install-device", "snapctl set k=1; exit 1", None),
        (
            "prepare-serial-request",
            "snapctl set k=1; exit 1",
            Some(json!(1)),
        ),
    ];
    for (name, script, expected) in rows {
        let device = Device::new().unwrap();
        run(&device, name, script);
        assert_eq!(device.config("k").unwrap(), expected, "{name}: {script}");
    }
}

#[test]
fn a_hook_sees_its_uncommitted_options_and_nobody_else_does() {
    let device = Device::new().unwrap();
    device.set_config("old", json!("before")).unwrap();
    let hook = Hook::new(
        "prepare-device",
        "snapctl set old=after new=1; snapctl get old new; read -r _ <\"$FIFO\"",
    );
    let fifo = device.common().join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let running = device
        .hook(&hook.path)
        .env("FIFO", &fifo)
        .limit(LIMIT)
        .spawn()
        .unwrap();

    // Opening the pipe waits until the hook opens it, and the hook has set both options before
    // that.
    let mut pipe = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    assert_eq!(device.config("old").unwrap(), Some(json!("before")));
    device.set_config("other", json!(true)).unwrap();
    std::io::Write::write_all(&mut pipe, b"\n").unwrap();

    let outcome = running.wait().unwrap();
    assert_eq!(outcome.stdout, "{\n\t\"new\": 1,\n\t\"old\": \"after\"\n}\n");
    for (name, value) in [("old", json!("after")), ("new", json!(1)), ("other", json!(true))] {
        assert_eq!(device.config(name).unwrap(), Some(value), "{name}");
    }
}

#[test]
fn in_a_hook_a_failed_call_keeps_the_options_before_its_error() {
    let device = Device::new().unwrap();
    device.set_config("text", json!("x")).unwrap();
    run(
        &device,
        "prepare-device",
        "snapctl set a=1 text.b=2; snapctl set c=3",
    );
    assert_eq!(device.config("a").unwrap(), Some(json!(1)));
    assert_eq!(device.config("c").unwrap(), Some(json!(3)));
}

#[test]
fn two_concurrent_hooks_lose_no_option() {
    let device = Device::new().unwrap();
    let hooks = ["one", "two"].map(|name| Hook::new("prepare-device", &format!("snapctl set tree.{name}=1")));
    let running = hooks
        .each_ref()
        .map(|hook| device.hook(&hook.path).limit(LIMIT).spawn().unwrap());
    for hook in running {
        assert!(hook.wait().unwrap().status.success());
    }
    assert_eq!(
        device.config("tree").unwrap(),
        Some(json!({ "one": 1, "two": 1 }))
    );
}

#[test]
fn concurrent_calls_in_one_hook_are_all_kept() {
    let device = Device::new().unwrap();
    run(
        &device,
        "prepare-device",
        "for n in 1 2 3 4 5 6 7 8 9; do snapctl set tree.k$n=1 & done; wait",
    );
    let tree = device.config("tree").unwrap().unwrap();
    assert_eq!(tree.as_object().unwrap().len(), 9);
}

#[test]
fn the_time_limit_kills_a_hook_and_its_child_processes() {
    let device = Device::new().unwrap();
    let hook = Hook::new("prepare-device", "snapctl set k=1; sleep 1000 & echo $!; wait");
    let start = Instant::now();
    let outcome = device
        .hook(&hook.path)
        .limit(Duration::from_millis(300))
        .run()
        .unwrap();
    assert!(outcome.timed_out && !outcome.status.success());
    assert!(start.elapsed() < LIMIT);
    assert!(!is_running(outcome.stdout.trim()));
    assert_eq!(device.config("k").unwrap(), None);
}

#[test]
fn a_hook_can_be_killed_and_dropping_it_kills_it() {
    let device = Device::new().unwrap();
    let hook = Hook::new("prepare-device", "echo $$ >\"$FIFO\"; sleep 1000");
    let fifo = device.common().join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let start = || {
        let running = device
            .hook(&hook.path)
            .env("FIFO", &fifo)
            .limit(LIMIT)
            .spawn()
            .unwrap();
        (running, fs::read_to_string(&fifo).unwrap().trim().to_owned())
    };

    let (mut running, process_id) = start();
    assert!(is_running(&process_id));
    running.kill();
    let outcome = running.wait().unwrap();
    assert!(!outcome.timed_out && outcome.status.code().is_none());
    assert!(!is_running(&process_id));

    let (running, process_id) = start();
    let dropped = Instant::now();
    drop(running);
    assert!(!is_running(&process_id));
    assert!(
        dropped.elapsed() < LIMIT,
        "the time limit ended the hook, not the drop"
    );
}

#[test]
fn snapctl_can_be_replaced_or_missing() {
    let device = Device::new().unwrap();
    let broken = Hook::new("broken", "printf 'a\\377b'; exit 7");
    let hook = Hook::new("prepare-device", "snapctl get k; echo \" $?\"");
    let outcome = device.hook(&hook.path).snapctl(&broken.path).run().unwrap();
    assert_eq!(outcome.stdout, "a\u{FFFD}b 7\n");
    let outcome = device
        .hook(&hook.path)
        .snapctl(Path::new("/no/such/program"))
        .run()
        .unwrap();
    assert_eq!(outcome.stdout, " 127\n");
}

#[test]
fn only_install_device_can_request_a_reboot() {
    let rows = [
        ("install-device", "snapctl reboot --halt", Some("halt")),
        ("install-device", "snapctl reboot --poweroff", Some("poweroff")),
        (
            "install-device",
            "snapctl reboot || snapctl reboot --halt --poweroff",
            None,
        ),
        ("prepare-device", "snapctl reboot --halt", None),
    ];
    for (name, script, expected) in rows {
        let device = Device::new().unwrap();
        let outcome = run(&device, name, script);
        assert_eq!(outcome.status.success(), expected.is_some(), "{name}: {script}");
        assert_eq!(
            device.reboot_request().unwrap().as_deref(),
            expected,
            "{name}: {script}"
        );
    }
}

#[test]
fn the_system_mode_and_the_base_can_be_set() {
    let device = Device::new().unwrap();
    let script = "snapctl system-mode; snapctl set 'k={\"Upper\":1}' 2>/dev/null; echo $?";
    assert_eq!(
        run(&device, "prepare-device", script).stdout,
        "system-mode: run\nseed-loaded: true\n1\n"
    );
    device.set_base("core24").unwrap();
    let system = SystemMode {
        mode: "install".into(),
        factory: true,
        ..SystemMode::default()
    };
    device.set_system_mode(system).unwrap();
    let expected = "system-mode: install\nseed-loaded: true\nfactory: true\n0\n";
    assert_eq!(run(&device, "prepare-device", script).stdout, expected);
}

#[test]
fn peak_memory_is_that_of_the_hook() {
    // The memory of the calling process must not count.
    let ballast = vec![1_u8; 64 << 20];
    let device = Device::new().unwrap();
    let small = Hook::new("prepare-device", "exit 3");
    let outcome = device.hook(&small.path).measure_memory().run().unwrap();
    assert_eq!(outcome.status.code(), Some(3));
    let peak = outcome.peak_memory.unwrap();
    assert!((500..16 << 10).contains(&peak), "{peak} KiB");

    let large = Hook::new(
        "prepare-device",
        "head -c 48M /dev/zero | tail -c 40M | wc -c >/dev/null",
    );
    let peak = device
        .hook(&large.path)
        .measure_memory()
        .run()
        .unwrap()
        .peak_memory
        .unwrap();
    assert!((40 << 10..64 << 10).contains(&peak), "{peak} KiB");
    drop(ballast);
}

#[test]
fn a_missing_hook_is_an_error_that_names_it() {
    let device = Device::new().unwrap();
    let error = device
        .hook(Path::new("/no/such/prepare-device"))
        .run()
        .unwrap_err()
        .to_string();
    assert!(error.contains("/no/such/prepare-device"), "{error}");
}

#[test]
fn dropping_a_device_removes_its_files() {
    let device = Device::new().unwrap();
    run(&device, "prepare-device", "true");
    let directory = device.snap().parent().unwrap().to_owned();
    assert_eq!(fs::read_dir(directory.join("runs")).unwrap().count(), 0);
    drop(device);
    assert!(!directory.exists());
}
