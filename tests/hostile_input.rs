//! Hostile and broken input from snapd, from the disk and from the gadget: each has its own code
//! and leaves nothing incomplete.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Expect as _, HOOKS, NONCE, PREPARE_DEVICE, PREPARE_SERIAL_REQUEST, World};
use serde_json::{Value, json};

const UNSET_BODY: [&str; 2] = ["unset", "registration.body"];

#[test]
fn a_request_id_that_is_not_a_string_is_refused() {
    let world = World::prepared();
    let not_a_string = "request-id-not-a-string";
    for (nonce, code) in [
        (Value::Null, "request-id-missing"),
        (json!(""), "request-id-empty"),
        (json!(7), not_a_string),
        (json!(true), not_a_string),
        (json!({"nonce": NONCE}), not_a_string),
        (json!([NONCE]), not_a_string),
    ] {
        world.give_nonce(nonce);
        world.refused(world.hook(PREPARE_SERIAL_REQUEST), code, &[]);
    }
}

/// The `openssl` program verifies the signature in `registration.body` over exactly these bytes.
fn assert_signed(world: &World, message: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (key, signature, nonce) = (path("key.pem"), path("signature"), path("nonce"));
    world
        .tpm
        .tpm2(&["tpm2_readpublic", "-c", "0x81018C00", "-f", "pem", "-o", &key])
        .unwrap();
    let body = world.body().unwrap();
    fs::write(
        &signature,
        STANDARD
            .decode(body["request-id-signature"].as_str().unwrap())
            .unwrap(),
    )
    .unwrap();
    fs::write(&nonce, message).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args([
        "dgst",
        "-sha256",
        "-verify",
        &key,
        "-signature",
        &signature,
        &nonce,
    ]);
    let verified = openssl.output().unwrap();
    assert!(
        verified.status.success(),
        "{:?}: {verified:?}",
        String::from_utf8_lossy(message)
    );
}

#[test]
fn any_string_is_signed_byte_for_byte() {
    let world = World::prepared();
    for nonce in [
        "x".repeat(64 * 1024),
        "\"quoted\" 'twice' \\ `ls` $(ls) %s <&>".to_owned(),
        "two\nlines\r\n\ttab\n".to_owned(),
        "a\0b\0".to_owned(),
        "ü 漢 🔑 \u{2028} \u{7f} e\u{301}".to_owned(),
        " ".to_owned(),
        "7".to_owned(),
        "null".to_owned(),
        "--help".to_owned(),
    ] {
        world.device.set_config("registration.body", Value::Null).unwrap();
        world.give_nonce(json!(nonce));
        world.prepare_serial_request().succeeded();
        assert_signed(&world, nonce.as_bytes());
    }
}

#[test]
fn a_missing_snapctl_is_an_error() {
    let world = World::prepared();
    for executable in HOOKS {
        let hook = world.hook(executable).env("PATH", "/nonexistent");
        world.refused(hook, "snapctl-not-started", &[]);
    }
}

#[test]
fn the_message_of_a_failed_snapctl_is_reported() {
    let world = World::prepared();
    for (script, values) in [
        ("echo cannot reach snapd >&2; exit 1", ["cannot reach snapd", "1"]),
        (
            "printf 'cannot\\nreach\\n\\nsnapd\\n' >&2; exit 46",
            ["cannot reach", "46"],
        ),
        (
            "printf 'not \\377 UTF-8' >&2; exit 1",
            ["not \u{fffd} UTF-8", "1"],
        ),
        ("exit 1", ["snapctl ", "1"]),
        ("kill -9 $$", ["snapctl ", "SIGKILL"]),
    ] {
        for executable in HOOKS {
            let hook = world.hook_with_snapctl(script, executable);
            world.refused(hook, "snapctl-failed", &values);
        }
    }
}

#[test]
fn a_snapctl_that_never_stops_writing_is_killed() {
    let world = World::prepared();
    for script in ["exec yes", "exec yes >&2"] {
        for executable in HOOKS {
            let hook = world.hook_with_snapctl(script, executable);
            world.refused(hook, "snapctl-unexpected-output", &[]);
        }
    }
}

#[test]
fn an_output_that_is_not_a_json_object_is_refused() {
    let world = World::prepared();
    for answer in [
        "",
        "<html>",
        "null",
        "[]",
        r#"{"registration.request-id": "a"#,
        r#"{"registration.request-id": "a"} {}"#,
        // Invalid UTF-8, and half of a surrogate pair.
        r#"{"registration.request-id": "\377"}"#,
        r#"{"registration.request-id": "\\ud800"}"#,
    ] {
        for executable in HOOKS {
            let script = format!("[ $1 = unset ] || printf '{answer}'");
            let hook = world.hook_with_snapctl(&script, executable);
            world.refused(hook, "snapctl-unexpected-output", &[]);
        }
    }
}

#[test]
fn a_failed_set_leaves_nothing_and_shows_no_value() {
    let world = World::prepared();
    world.set_option(
        "device-service",
        json!({"url": "https://a/", "headers": {"x-key": "secret"}}),
    );
    let script = "[ $1 != set ] || { echo no room >&2; exit 1; }; exec \"$SNAPCTL\" \"$@\"";
    for (executable, key) in [
        (PREPARE_DEVICE, "device-service.headers"),
        (PREPARE_SERIAL_REQUEST, "registration.body"),
    ] {
        let before = world.traces();
        let outcome = world.hook_with_snapctl(script, executable).run().unwrap();
        outcome.failed("snapctl-failed", &[key, "no room"]);
        assert!(!outcome.merged.contains("secret"), "{}", outcome.merged);
        assert_eq!(world.traces(), before);
    }
}

/// A snapctl that hangs in its subcommand `call` is killed after 30 s, and the hook changes
/// nothing.
fn hangs(executable: &str, call: &str, how: &str) {
    let world = World::prepared();
    world.set_option("device-service", json!({"url": "https://a/"}));
    let directory = tempfile::tempdir().unwrap();
    let process = directory.path().join("process");
    let script = format!(
        "[ $1 = {call} ] || exec \"$SNAPCTL\" \"$@\"; echo $$ >{}; {how}",
        process.display()
    );
    let hook = world.hook_with_snapctl(&script, executable);
    world.refused(hook, "snapctl-timeout", &[&format!("snapctl {call}"), "30 s"]);
    let process = fs::read_to_string(process).unwrap();
    assert!(!Path::new("/proc").join(process.trim()).exists(), "it still runs");
}

#[test]
fn a_snapctl_that_hangs_is_killed() {
    let silent = "exec sleep 600";
    let closed = "exec >/dev/null 2>&1 sleep 600";
    thread::scope(|scope| {
        for (executable, call) in [
            (PREPARE_DEVICE, "unset"),
            (PREPARE_DEVICE, "get"),
            (PREPARE_DEVICE, "set"),
            (PREPARE_SERIAL_REQUEST, "get"),
            (PREPARE_SERIAL_REQUEST, "set"),
        ] {
            for how in [silent, closed] {
                scope.spawn(move || hangs(executable, call, how));
            }
        }
    });
}

const DAMAGED: &str = "record-damaged";

#[test]
fn a_damaged_record_is_an_error() {
    let world = World::prepared();
    let record = fs::read_to_string(world.record_file()).unwrap();
    let whole = world.record();
    let changed = |name: &str, value: Value| {
        let mut record = whole.clone();
        record[name] = value;
        record.to_string()
    };
    let nothing_but_spaces = " ".repeat(1024 * 1024);
    let contents = [
        record[..record.len() / 2].to_owned(),
        record[..record.len() - 3].to_owned(),
        String::new(),
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "\"format\"".to_owned(),
        "[".repeat(60_000),
        nothing_but_spaces.clone(),
        format!("{record}{nothing_but_spaces}"),
        format!("{record}{record}"),
        changed("format", json!(-1)),
        changed("format", json!("1")),
        changed("algorithm", json!("rsa-2048")),
        changed("algorithm", json!("line\nbreak")),
        changed("template-version", json!(2)),
        changed("name", json!("")),
        changed("name", json!("000b00")),
        changed("public-key", json!("AAAA")),
        changed("digest", json!("x")),
        changed("digest-form", json!("der")),
        changed("created", Value::Null),
    ];
    for content in contents {
        fs::write(world.record_file(), content).unwrap();
        world.both_refused(DAMAGED, &[world.record_file().to_str().unwrap()]);
    }
    fs::write(world.record_file(), b"\xff\xfe{}").unwrap();
    world.both_refused(DAMAGED, &[]);

    fs::write(world.record_file(), changed("format", json!(3))).unwrap();
    world.both_refused("record-too-new", &[]);
    fs::write(world.record_file(), record).unwrap();
    world.both_work();
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_record_that_cannot_be_read_is_an_error() {
    let world = World::prepared();
    let file = world.record_file();
    let (code, values) = ("record-unreadable", [file.to_str().unwrap()]);
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    for executable in HOOKS {
        world.refused(world.unprivileged_hook(executable), code, &values);
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    world.both_refused(code, &values);
    // Nobody writes to the FIFO, and the hooks do not wait for it.
    fs::remove_dir(&file).unwrap();
    make_fifo(&file);
    world.both_refused(code, &values);
}

/// Both hooks refuse the settings. prepare-device has unset the old body by then.
fn settings_refused(world: &World, code: &str, values: &[&str]) {
    let calls = world.device.calls().unwrap().len();
    world.both_refused(code, values);
    let calls = &world.device.calls().unwrap()[calls..];
    assert_eq!(calls[0], UNSET_BODY);
    assert!(calls[1..].iter().all(|call| call[0] == "get"), "{calls:?}");
}

#[test]
fn a_settings_file_that_cannot_be_used_is_an_error() {
    let world = World::prepared();
    let file = world.device.snap().join("hardware-identity.toml");
    let path = file.to_str().unwrap();
    let (unknown, invalid, syntax) = ("setting-unknown", "setting-invalid", "settings-file-syntax");
    for (settings, line, code) in [
        ("\nalgoritm = 'ecdsa-p256'\n", 2, unknown),
        ("'a\\nb' = 1\n", 1, unknown),
        ("\"a\\nb\" = 1\n", 1, unknown),
        ("algorithm = true\n", 1, "setting-not-a-string"),
        ("algorithm = 'ed25519'\n", 1, "key-kind-unknown"),
        ("tpm-wait = -1\n", 1, invalid),
        ("tpm-wait = 99999999999999999999\n", 1, invalid),
        ("\n\nhandle = 1\n", 3, invalid),
        ("tcti = 'cmd:sh'\n", 1, "tcti-invalid"),
        ("[device-service]\nurl = 'ftp://a/'\n", 2, invalid),
        ("algorithm =\n", 1, syntax),
        ("=", 1, syntax),
    ] {
        world.device.write_settings(settings).unwrap();
        settings_refused(&world, code, &[path, &format!("line {line}")]);
    }
    let unreadable = || settings_refused(&world, "settings-file-unreadable", &[path]);
    world
        .device
        .write_settings(&"# nothing\n".repeat(1024 * 1024))
        .unwrap();
    unreadable();
    fs::write(&file, b"issuer-id = '\xff'\n").unwrap();
    unreadable();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    unreadable();
    // Nobody writes to the FIFO, and the hooks do not wait for it.
    fs::remove_dir(&file).unwrap();
    make_fifo(&file);
    unreadable();
}

#[test]
fn an_option_that_cannot_be_used_is_an_error() {
    let (unknown, invalid, not_a_string) = ("setting-unknown", "setting-invalid", "setting-not-a-string");
    for (name, value, code) in [
        ("algoritm", json!("ecdsa-p256"), unknown),
        ("algorithm", json!("ed25519"), "key-kind-unknown"),
        ("algorithm", json!(["ecdsa-p256"]), not_a_string),
        ("tpm-wait", json!(0.5), not_a_string),
        ("tpm-wait", json!(301), invalid),
        ("device-service.access", json!(true), not_a_string),
        ("device-service.headers", json!("x"), unknown),
        ("handle", json!("0x81018C0g"), invalid),
    ] {
        let world = World::prepared();
        world.set_option(name, value);
        settings_refused(&world, code, &[&format!("hardware-identity.{name}")]);
    }
    let world = World::prepared();
    world.device.set_config("hardware-identity", json!(7)).unwrap();
    settings_refused(&world, unknown, &["hardware-identity"]);
}

#[test]
fn a_wrong_variable_is_an_error() {
    let world = World::prepared();
    for executable in HOOKS {
        let hook = world.hook(executable).env("TCTI", "tpm0");
        world.refused(hook, "tcti-invalid", &["TCTI", "tpm0"]);
    }
}

/// Starts a hook in its own mount namespace, after `mounts` has changed the data directory `$DATA`.
/// The file `$LEFT` gets a list of the files that are in the directory afterwards.
fn with_mounts(mounts: &str) -> String {
    let inside = format!(
        "DATA=$SNAP_SAVE_DATA; {mounts} || exit 99; \"$HOOK\"; status=$?; ls -A \"$DATA\" >\"$LEFT\"; exit \
         $status"
    );
    format!("[ $(id -u) = 0 ] || user=-r; exec unshare $user -m sh -c '{inside}'")
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error() {
    let full = "mount -t tmpfs -o size=4k tmpfs $DATA && head -c 4096 /dev/zero >$DATA/filler";
    for (mounts, left) in [
        (full, "filler\n"),
        ("mount -t tmpfs -o nr_inodes=1 tmpfs $DATA", ""),
        ("mount -t tmpfs -o ro tmpfs $DATA", ""),
    ] {
        let world = World::unprepared();
        let directory = tempfile::tempdir().unwrap();
        let list = directory.path().join("left");
        let hook = world
            .hook_in(&with_mounts(mounts), PREPARE_DEVICE)
            .env("LEFT", &list);
        let record = world.record_file();
        let values = [record.to_str().unwrap()];
        hook.run().unwrap().failed("record-unwritable", &values);
        assert_eq!(fs::read_to_string(list).unwrap(), left, "{mounts}");
        // Without the fault it is the same identity.
        let name = world.name_at_handle();
        world.both_work();
        assert_eq!(world.record()["name"], name);
    }
}

#[test]
fn an_existing_record_is_not_written_again() {
    let world = World::prepared();
    let directory = tempfile::tempdir().unwrap();
    let script = with_mounts("mount --bind $DATA $DATA && mount -o remount,bind,ro $DATA");
    let record = fs::read(world.record_file()).unwrap();
    for executable in HOOKS {
        let hook = world
            .hook_in(&script, executable)
            .env("LEFT", directory.path().join("left"));
        hook.run().unwrap().succeeded();
    }
    assert!(world.body().is_some());
    assert_eq!(fs::read(world.record_file()).unwrap(), record);
}

#[test]
fn a_missing_data_directory_is_an_error() {
    let world = World::unprepared();
    let hook = world
        .hook(PREPARE_DEVICE)
        .env("SNAP_SAVE_DATA", "/nonexistent/save");
    hook.run()
        .unwrap()
        .failed("record-unwritable", &["/nonexistent/save/"]);
    for executable in HOOKS {
        let hook = world
            .hook(executable)
            .without_env("SNAP_SAVE_DATA")
            .without_env("SNAP_COMMON");
        world.refused(hook, "data-directory-unset", &[]);
    }
}

#[test]
fn a_serial_number_that_cannot_be_proposed_is_refused() {
    for (hardware_id, code) in [
        (json!("A/7"), "proposed-serial-slash"),
        (json!(""), "hardware-id-source-unknown"),
        (json!("  "), "hardware-id-empty"),
        (json!("a\nb"), "hardware-id-control-character"),
        (json!("None"), "hardware-id-placeholder"),
        (json!("To be filled by O.E.M."), "hardware-id-placeholder"),
        (json!(0), "hardware-id-placeholder"),
        (Value::Null, "proposed-serial-unset"),
    ] {
        let world = World::prepared();
        world.set_option("registration.proposed-serial", json!("hardware-id"));
        world.set_option("device-service.url", json!("https://serial.example/v1/"));
        world.set_option("hardware-id", hardware_id);
        world.refused(world.hook(PREPARE_DEVICE), code, &[]);
        for nothing in ["registration.proposed-serial", "device-service"] {
            assert_eq!(world.device.config(nothing).unwrap(), None);
        }
    }
}

#[test]
fn the_settings_of_the_model_service_reach_snapd() {
    let world = World::with_settings(
        "hardware-id = 'A=7 \"x\"'\n\
         [device-service]\nurl = 'https://serial.example/v1/?a=b&c'\naccess = 'offline'\n\
         headers = { X-Key = 'a=\"b\", {}', x-number = '7', x-true = 'true' }\n\
         [registration]\nproposed-serial = 'hardware-id'\n",
    );
    world.prepare_device().succeeded();
    let config = |name| world.device.config(name).unwrap().unwrap();
    let service = json!({
        "url": "https://serial.example/v1/?a=b&c",
        "access": "offline",
        "headers": {"x-key": "a=\"b\", {}", "x-number": "7", "x-true": "true"},
    });
    assert_eq!(config("device-service"), service);
    assert_eq!(config("registration.proposed-serial"), "A=7 \"x\"");
    // Options override the file, and a number is proposed as a string.
    world.set_option("hardware-id", json!(1234));
    world.prepare_device().succeeded();
    assert_eq!(config("registration.proposed-serial"), "1234");
    world.set_option("registration.proposed-serial", json!("key-digest"));
    world.prepare_device().succeeded();
    assert_eq!(config("registration.proposed-serial"), world.record()["digest"]);
}

#[test]
fn prepare_device_unsets_the_body_first_and_gives_snapd_nothing_about_the_key() {
    let world = World::unprepared();
    world
        .device
        .set_config("registration.body", json!({"old": 1}))
        .unwrap();
    world.prepare_device().succeeded();
    assert_eq!(world.body(), None);
    let first = world.device.calls().unwrap();
    assert_eq!(first[0], UNSET_BODY);
    assert_eq!(first[1..], [["get", "-d", "hardware-identity"]]);

    world.set_option(
        "device-service",
        json!({"url": "https://a/", "headers": {"x-key": "a"}}),
    );
    world.set_option("hardware-id", json!("A7"));
    world.set_option("registration.proposed-serial", json!("hardware-id"));
    world.prepare_device().succeeded();
    let calls = &world.device.calls().unwrap()[first.len()..];
    assert_eq!(calls[0], UNSET_BODY);
    let record = world.record();
    for part in ["digest", "public-key", "name"] {
        let part = record[part].as_str().unwrap();
        assert!(
            !calls.iter().flatten().any(|argument| argument.contains(part)),
            "{calls:?}"
        );
    }
    let set: Vec<_> = calls.iter().filter(|call| call[0] == "set").flatten().collect();
    let keys = [
        "device-service.url=",
        "device-service.headers=",
        "registration.proposed-serial=",
    ];
    for argument in set.iter().filter(|argument| argument.contains('=')) {
        assert!(keys.iter().any(|key| argument.starts_with(key)), "{argument}");
    }
}

#[test]
fn prepare_serial_request_reads_once_and_sets_the_body_last() {
    let world = World::prepared();
    let before = world.device.calls().unwrap().len();
    world.prepare_serial_request().succeeded();
    let calls = &world.device.calls().unwrap()[before..];
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(
        calls[0],
        ["get", "-d", "registration.request-id", "hardware-identity"]
    );
    assert_eq!(calls[1][..2], ["set", "-t"]);
    assert!(calls[1][2].starts_with("registration.body={"), "{calls:?}");
    assert_eq!(calls[1].len(), 3);
}
