//! Input that no one should give: from snapd, from the disk and from the gadget. A clear error each, no
//! half-done work.

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
fn a_request_id_that_is_no_text_is_refused() {
    let world = World::prepared();
    let not_text = "the request-id that snapd gave is not a text";
    for (nonce, problem) in [
        (Value::Null, "snapd gave no request-id"),
        (json!(""), "the request-id that snapd gave is empty"),
        (json!(7), not_text),
        (json!(true), not_text),
        (json!({"nonce": NONCE}), not_text),
        (json!([NONCE]), not_text),
    ] {
        world.give_nonce(nonce);
        world.refused(
            world.hook(PREPARE_SERIAL_REQUEST),
            &[problem, "registration.request-id", "model service"],
        );
    }
}

/// The `openssl` program verifies the signature in `registration.body` over exactly these bytes.
fn assert_signed(world: &World, message: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
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
fn any_text_is_signed_byte_for_byte() {
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
fn a_missing_snapctl_is_named() {
    let world = World::prepared();
    for executable in HOOKS {
        let hook = world.hook(executable).env("PATH", "/nonexistent");
        world.refused(hook, &["`snapctl ", "cannot be started", "as a hook"]);
    }
}

#[test]
fn a_snapctl_that_fails_is_quoted() {
    let world = World::prepared();
    for (script, problem) in [
        (
            "echo cannot reach snapd >&2; exit 1",
            "failed (exit status: 1): cannot reach snapd.",
        ),
        (
            "printf 'cannot\\nreach\\n\\nsnapd\\n' >&2; exit 46",
            "failed (exit status: 46): cannot reach",
        ),
        (
            "printf 'not \\377 UTF-8' >&2; exit 1",
            "failed (exit status: 1): not \u{fffd} UTF-8.",
        ),
        ("exit 1", "failed (exit status: 1)"),
        ("kill -9 $$", "failed (signal: 9 (SIGKILL))"),
    ] {
        for executable in HOOKS {
            let hook = world.hook_with_snapctl(script, executable);
            world.refused(hook, &["`snapctl ", problem, "`journalctl -u snapd`"]);
        }
    }
}

#[test]
fn a_snapctl_that_never_stops_writing_is_stopped() {
    let world = World::prepared();
    for script in ["exec yes", "exec yes >&2"] {
        for executable in HOOKS {
            let hook = world.hook_with_snapctl(script, executable);
            world.refused(
                hook,
                &[
                    "`snapctl ",
                    "it wrote more than 1 MiB",
                    "snapctl on PATH is snapd's",
                ],
            );
        }
    }
}

#[test]
fn an_answer_that_is_no_json_object_is_refused() {
    let world = World::prepared();
    for answer in [
        "",
        "<html>",
        "null",
        "[]",
        r#"{"registration.request-id": "a"#,
        r#"{"registration.request-id": "a"} {}"#,
        // Neither UTF-8 nor half a surrogate is a text.
        r#"{"registration.request-id": "\377"}"#,
        r#"{"registration.request-id": "\\ud800"}"#,
    ] {
        for executable in HOOKS {
            let script = format!("[ $1 = unset ] || printf '{answer}'");
            let hook = world.hook_with_snapctl(&script, executable);
            world.refused(
                hook,
                &[
                    "did not answer as snapctl does",
                    "no JSON object",
                    "snapctl on PATH is snapd's",
                ],
            );
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
        outcome.failed(&[
            "`snapctl set -t ",
            key,
            "failed (exit status: 1): no room",
            "`journalctl -u snapd`",
        ]);
        assert!(!outcome.merged.contains("secret"), "{}", outcome.merged);
        assert_eq!(world.traces(), before);
    }
}

/// A snapctl that hangs in its call `$1` is stopped after 30 s, and with it nothing else is done.
fn hangs(executable: &str, call: &str, how: &str) {
    let world = World::prepared();
    world.set_option("device-service", json!({"url": "https://a/"}));
    let folder = tempfile::tempdir().unwrap();
    let process = folder.path().join("process");
    let script = format!(
        "[ $1 = {call} ] || exec \"$SNAPCTL\" \"$@\"; echo $$ >{}; {how}",
        process.display()
    );
    let hook = world.hook_with_snapctl(&script, executable);
    world.refused(
        hook,
        &[
            &format!("`snapctl {call} "),
            "did not end within 30 s",
            "`journalctl -u snapd`",
        ],
    );
    let process = fs::read_to_string(process).unwrap();
    assert!(!Path::new("/proc").join(process.trim()).exists(), "it still runs");
}

#[test]
fn a_snapctl_that_hangs_is_stopped() {
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

const DAMAGED: [&str; 2] = ["is damaged: ", "Restore it from a backup, or delete it"];

#[test]
fn a_damaged_record_is_named() {
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
        world.both_refused(&[&[world.record_file().to_str().unwrap()], &DAMAGED[..]].concat());
    }
    fs::write(world.record_file(), b"\xff\xfe{}").unwrap();
    world.both_refused(&DAMAGED);

    fs::write(world.record_file(), changed("format", json!(2))).unwrap();
    world.both_refused(&["was written by a later version", "Install that version"]);
    fs::write(world.record_file(), record).unwrap();
    world.both_work();
}

#[test]
fn a_record_that_cannot_be_read_is_named() {
    let world = World::prepared();
    let file = world.record_file();
    let parts = [
        file.to_str().unwrap(),
        "cannot be read: ",
        "Check the folder's permissions and the disk",
    ];
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    for executable in HOOKS {
        world.refused(world.unprivileged_hook(executable), &parts);
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    world.both_refused(&parts);
}

/// Settings that both hooks refuse, though prepare-device has told snapd to forget the old body by then.
fn settings_refused(world: &World, parts: &[&str]) {
    let calls = world.device.calls().unwrap().len();
    world.both_refused(parts);
    let calls = &world.device.calls().unwrap()[calls..];
    assert_eq!(calls[0], UNSET_BODY);
    assert!(calls[1..].iter().all(|call| call[0] == "get"), "{calls:?}");
}

#[test]
fn a_settings_file_that_cannot_be_used_is_named() {
    let world = World::prepared();
    let file = world.device.snap().join("hardware-identity.toml");
    let in_line = |line| format!("{}, line {line}: ", file.display());
    let next = "Correct it in the gadget and build the snap again";
    for (settings, line, problem) in [
        (
            "\nalgoritm = 'ecdsa-p256'\n",
            2,
            "`algoritm`: there is no such setting",
        ),
        ("'a\\nb' = 1\n", 1, "there is no such setting"),
        ("\"a\\nb\" = 1\n", 1, "there is no such setting"),
        ("algorithm = true\n", 1, "expected a text in quotes"),
        ("algorithm = 'ed25519'\n", 1, "allowed: ecdsa-p256"),
        ("tpm-wait = -1\n", 1, "seconds, 0 to 300"),
        ("tpm-wait = 99999999999999999999\n", 1, "tpm-wait"),
        ("\n\nhandle = 1\n", 3, "no persistent handle"),
        ("tcti = 'cmd:sh'\n", 1, "is no TCTI"),
        ("[device-service]\nurl = 'ftp://a/'\n", 2, "https://"),
        ("algorithm =\n", 1, ""),
        ("=", 1, ""),
    ] {
        world.device.write_settings(settings).unwrap();
        settings_refused(&world, &[&in_line(line), problem, next]);
    }
    world
        .device
        .write_settings(&"# nothing\n".repeat(1024 * 1024))
        .unwrap();
    settings_refused(&world, &[file.to_str().unwrap(), "larger than 65536 bytes", next]);
    fs::write(&file, b"issuer-id = '\xff'\n").unwrap();
    settings_refused(
        &world,
        &[file.to_str().unwrap(), "cannot be read: ", "UTF-8", next],
    );
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    settings_refused(&world, &[file.to_str().unwrap(), "cannot be read: ", next]);
}

#[test]
fn an_option_that_cannot_be_used_is_named() {
    for (name, value, problem) in [
        ("algoritm", json!("ecdsa-p256"), "there is no such setting"),
        ("algorithm", json!("ed25519"), "allowed: ecdsa-p256"),
        ("algorithm", json!(["ecdsa-p256"]), "expected a text"),
        ("tpm-wait", json!(0.5), "expected a text"),
        ("tpm-wait", json!(301), "seconds, 0 to 300"),
        ("device-service.access", json!(true), "expected a text"),
        ("device-service.headers", json!("x"), "there is no such setting"),
        ("handle", json!("0x81018C0g"), "no persistent handle"),
    ] {
        let world = World::prepared();
        world.set_option(name, value);
        let option = format!("hardware-identity.{name}");
        let (what, next) = (
            format!("the option {option} of this snap: "),
            format!("`snap unset GADGET {option}`"),
        );
        settings_refused(&world, &[&what, problem, &next]);
    }
    let world = World::prepared();
    world.device.set_config("hardware-identity", json!(7)).unwrap();
    settings_refused(
        &world,
        &[
            "the option hardware-identity of this snap: ",
            "snap unset GADGET hardware-identity",
        ],
    );
}

#[test]
fn a_wrong_variable_is_named() {
    let world = World::prepared();
    for executable in HOOKS {
        let hook = world.hook(executable).env("TCTI", "tpm0");
        world.refused(
            hook,
            &["the variable TCTI: `tpm0` is no TCTI", "Correct or unset it"],
        );
    }
}

/// Starts a hook in a mount namespace of its own, where the data folder `$DATA` is what `mounts` makes it.
/// What is in it at the end is written to the file `$LEFT`.
fn with_mounts(mounts: &str) -> String {
    let inside = format!(
        "DATA=$SNAP_SAVE_DATA; {mounts} || exit 99; \"$HOOK\"; status=$?; ls -A \"$DATA\" >\"$LEFT\"; exit \
         $status"
    );
    format!("[ $(id -u) = 0 ] || user=-r; exec unshare $user -m sh -c '{inside}'")
}

#[test]
fn a_folder_that_takes_no_record_is_named() {
    let full = "mount -t tmpfs -o size=4k tmpfs $DATA && head -c 4096 /dev/zero >$DATA/filler";
    let no_room = "No space left on device";
    for (mounts, problem, left) in [
        (full, no_room, ".hardware-identity.lock\nfiller\n"),
        ("mount -t tmpfs -o nr_inodes=1 tmpfs $DATA", no_room, ""),
        (
            "mount -t tmpfs -o nr_inodes=2 tmpfs $DATA",
            no_room,
            ".hardware-identity.lock\n",
        ),
        ("mount -t tmpfs -o ro tmpfs $DATA", "Read-only file system", ""),
    ] {
        let world = World::unprepared();
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("left");
        let hook = world
            .hook_in(&with_mounts(mounts), PREPARE_DEVICE)
            .env("LEFT", &list);
        let data = world.device.save_data();
        hook.run().unwrap().failed(&[
            &format!("cannot be written to {}: ", data.display()),
            problem,
            "Make room on the disk",
            "mounted read-only",
        ]);
        assert_eq!(fs::read_to_string(list).unwrap(), left, "{mounts}");
        // On a better day it is the same identity.
        let name = world.name_at_handle();
        world.both_work();
        assert_eq!(world.record()["name"], name);
    }
}

#[test]
fn a_record_that_stands_needs_no_writing() {
    let world = World::prepared();
    let folder = tempfile::tempdir().unwrap();
    let script = with_mounts("mount --bind $DATA $DATA && mount -o remount,bind,ro $DATA");
    let record = fs::read(world.record_file()).unwrap();
    for executable in HOOKS {
        let hook = world
            .hook_in(&script, executable)
            .env("LEFT", folder.path().join("left"));
        hook.run().unwrap().succeeded();
    }
    assert!(world.body().is_some());
    assert_eq!(fs::read(world.record_file()).unwrap(), record);
}

#[test]
fn without_a_data_folder_there_is_an_error() {
    let world = World::unprepared();
    let hook = world
        .hook(PREPARE_DEVICE)
        .env("SNAP_SAVE_DATA", "/nonexistent/save");
    hook.run()
        .unwrap()
        .failed(&["cannot be written to /nonexistent/save: ", "No such file"]);
    for executable in HOOKS {
        let hook = world
            .hook(executable)
            .without_env("SNAP_SAVE_DATA")
            .without_env("SNAP_COMMON");
        world.refused(
            hook,
            &["neither SNAP_SAVE_DATA nor SNAP_COMMON", "as a hook of a snap"],
        );
    }
}

#[test]
fn a_serial_number_that_cannot_be_proposed_is_refused() {
    let by_setting = "setting `hardware-id`";
    for (hardware_id, parts) in [
        (json!("A/7"), ["\"A/7\" has a slash in it", "Set `hardware-id`"]),
        (
            json!(""),
            ["the hardware id is empty", "hardware-identity.hardware-id"],
        ),
        (
            json!("  "),
            ["the hardware id (given value) is empty", by_setting],
        ),
        (json!("a\nb"), ["has control characters in it", by_setting]),
        (
            json!("None"),
            ["is \"None\", which vendors put on every device", by_setting],
        ),
        (
            json!("To be filled by O.E.M."),
            ["which vendors put on every device", by_setting],
        ),
        (
            json!(0),
            ["is \"0\", which vendors put on every device", by_setting],
        ),
        (Value::Null, ["there is none. Set `hardware-id`", "to key-digest"]),
    ] {
        let world = World::prepared();
        world.set_option("registration.proposed-serial", json!("hardware-id"));
        world.set_option("device-service.url", json!("https://serial.example/v1/"));
        world.set_option("hardware-id", hardware_id);
        world.refused(world.hook(PREPARE_DEVICE), &parts);
        for nothing in ["registration.proposed-serial", "device-service"] {
            assert_eq!(world.device.config(nothing).unwrap(), None);
        }
    }
}

#[test]
fn what_the_settings_say_of_the_service_reaches_snapd() {
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
    // Options stand over the file, and a number is proposed as a text.
    world.set_option("hardware-id", json!(1234));
    world.prepare_device().succeeded();
    assert_eq!(config("registration.proposed-serial"), "1234");
    world.set_option("registration.proposed-serial", json!("key-digest"));
    world.prepare_device().succeeded();
    assert_eq!(config("registration.proposed-serial"), world.record()["digest"]);
}

#[test]
fn prepare_device_forgets_the_body_first_and_tells_snapd_nothing_of_the_key() {
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
