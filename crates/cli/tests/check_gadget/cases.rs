//! Reports of people who write gadgets: each showed a kind of wrong finding, or of a missing one.

use crate::gadget::Gadget;

const SNAP_YAML: &str = "\
name: case-gadget
version: '1'
summary: A gadget
description: A gadget
type: gadget
base: core24
architectures: [amd64]
assumes: [snapd2.74]
plugs: {tpm: null, hardware-observe: null}
hooks:
  configure: {}
  prepare-device: {plugs: [tpm, hardware-observe]}
  prepare-serial-request: {plugs: [tpm]}
";

/// Looks like a placeholder, but can be a snap-id.
const SNAP_ID: &str = "abcdefghijklmnopqrstuvwxyzABCDEF";

const REQUEST: &str = "\
set -e
snapctl set registration.body=\"{\\\"hardware-id-key-sha384\\\":\\\"x\\\",\\\"hardware-id-key-sha3-384\\\":\\\"x\\\"}\"
";

const UNSET: &str = "snapctl unset registration.body";
const SET: &str = "snapctl set -s registration.proposed-serial=SN-1 device-service.url=https://x.example/v1/";

/// A gadget whose author wrote the hooks.
fn gadget(prepare_device: &str, request: &str) -> Gadget {
    let gadget = Gadget::empty();
    gadget.remove("hardware-identity.toml");
    gadget.write("meta/snap.yaml", SNAP_YAML);
    let connections =
        format!("connections:\n  - plug: {SNAP_ID}:tpm\n  - plug: {SNAP_ID}:hardware-observe\n");
    gadget.write("meta/gadget.yaml", &connections);
    gadget.script("meta/hooks/configure", "");
    gadget.script("meta/hooks/prepare-device", prepare_device);
    gadget.script("meta/hooks/prepare-serial-request", request);
    gadget
}

#[track_caller]
fn check(prepare_device: &str, expected: &[&str]) {
    let checked = gadget(prepare_device, REQUEST).check();
    assert_eq!(
        checked.codes(),
        expected,
        "{prepare_device}\n{:#}",
        checked.report
    );
    assert_eq!(checked.status, 0);
}

/// Each command removes the body, and each of the others does not.
#[test]
fn body_unset_parent_continuation_python_hook_and_unset_in_message() {
    for unset in [
        "snapctl unset registration",
        "snapctl unset \\\n  registration.body",
        "snapctl unset a registration.body b",
        "snapctl set registration!",
        "snapctl set -s a=b registration.body!",
        "/usr/bin/snapctl unset 'registration'.body",
        "KEY=registration.body; snapctl unset \"$KEY\"",
        "if true; then snapctl unset registration.body; fi",
        "clean() { snapctl unset registration.body; }\nclean",
        "timeout 5 snapctl unset registration.body || true",
        "sh -c 'snapctl unset registration.body'",
        "retry() { \"$@\" || \"$@\"; }\nretry 5 snapctl unset registration.body",
        "eval snapctl unset registration.body",
        "trap 'snapctl unset registration.body' EXIT",
        "for key in body other; do snapctl unset registration.$key; done",
    ] {
        check(&format!("{unset}\n{SET}"), &[]);
    }
    for not_unset in [
        "true",
        "echo \"does not unset registration.body\"",
        "echo snapctl unset registration.body",
        "# snapctl unset registration.body",
        "true # snapctl unset registration.body",
        "cat <<EOF\nsnapctl unset registration.body\nEOF",
        "x='snapctl unset registration.body'",
        "snapctl unset registration.bodies",
        "exit 1\nsnapctl unset registration.body",
    ] {
        check(&format!("{SET}\n{not_unset}"), &["body-not-unset"]);
    }
}

#[test]
fn log_name_hides_body_and_trailing_comment() {
    for no_call in [
        "exec >> $SNAP_COMMON/prepare-device-hook.log 2>&1",
        "exec 2>> \"$SNAP_COMMON/prepare-device\"",
        "true # the hook prepare-device",
        "logger -t prepare-device start",
        "echo prepare-device",
    ] {
        check(&format!("{no_call}\n{SET}"), &["body-not-unset"]);
    }
}

#[test]
fn log_name_hides_digest() {
    let request = "exec 2>> $SNAP_COMMON/prepare-serial-request.log\n\
                   snapctl set registration.body=\"{\\\"hardware-id-key-sha384\\\":\\\"x\\\"}\"";
    let checked = gadget(&format!("{UNSET}\n{SET}"), request).check();
    assert_eq!(checked.codes(), ["one-digest-name"], "{:#}", checked.report);
}

#[test]
fn python_hook() {
    for (text, expected) in [
        (
            "subprocess.run([\"snapctl\", \"unset\", \"registration.body\"], check=True)",
            &["not-checked"][..],
        ),
        ("os.system('snapctl unset registration.body')", &["not-checked"]),
        (
            "subprocess.run(\"snapctl unset registration && true\", shell=True)",
            &["not-checked"],
        ),
        (
            "def call(*words): subprocess.run([\"snapctl\", *words])\ncall(\"unset\", \"registration.body\")",
            &["not-checked"],
        ),
        (
            "# [\"snapctl\", \"unset\", \"registration.body\"]",
            &["body-not-unset", "not-checked"],
        ),
    ] {
        let gadget = gadget("", REQUEST);
        let settings = "run([\"snapctl\", \"set\", \"-s\", \"registration.proposed-serial=1\", \
                        \"device-service.url=https://x.example/\"])";
        let script = format!("#!/usr/bin/env python3\nimport os, subprocess\n{text}\n{settings}\n");
        gadget.write("meta/hooks/prepare-device", &script);
        gadget.set_mode("meta/hooks/prepare-device", 0o755);
        let checked = gadget.check();
        assert_eq!(checked.codes(), expected, "{text}: {:#}", checked.report);
        assert_eq!(checked.status, 0);
    }
}

#[test]
fn dead_tokens() {
    for command in [
        "snap set case-gadget server.host=https://x.example",
        "/usr/bin/snap list",
        "/snap/other-snap/current/bin/setup.sh",
        "sudo true",
        "x=\"$(snap list)\"",
        "apt-get install -y tpm2-tools",
    ] {
        check(&format!("{UNSET}\n{command}\n{SET}"), &["unreachable-program"]);
    }
    for command in [
        "echo snap set a b",
        "ls /snap/other-snap",
        "# snap list",
        "logger \"use snap set\"",
        "snapctl start case-gadget.service",
        "/snap/case-gadget/x1/bin/a || true",
    ] {
        check(&format!("{UNSET}\n{command}\n{SET}"), &[]);
    }
}

#[test]
fn number_serial() {
    for value in [
        "123450987",
        "'1e5'",
        "true",
        "null",
        "\"$(cat /serial)\"",
        "$SERIAL",
        "2026$X",
    ] {
        let script = format!("{UNSET}\n{SET}\nsnapctl set registration.proposed-serial={value}");
        check(&script, &["untyped-set"]);
        check(&script.replace("snapctl set reg", "snapctl set -s reg"), &[]);
        check(&script.replace("snapctl set reg", "snapctl set -t reg"), &[]);
    }
    for value in [
        "SN-1",
        "012345",
        "\"\\\"$(date -u)\\\"\"",
        "'\"'\"$(cat /serial)\"'\"'",
        "SN-$X",
        "\"'$X'\"",
    ] {
        let script = format!("{UNSET}\n{SET}\nsnapctl set registration.proposed-serial={value}");
        check(&script, &[]);
    }
    let others = "snapctl set device-service.url=\"$URL\" device-service.headers='{\"a\": \"b\"}' own=5";
    check(&format!("{UNSET}\n{SET}\n{others}"), &[]);
}

#[test]
fn optional_program() {
    for (call, expected) in [
        (
            "if [ -x \"$SNAP/bin/extra\" ]; then \"$SNAP/bin/extra\"; fi",
            &[][..],
        ),
        ("[ -e $SNAP/bin/extra ] && ${SNAP}/bin/extra", &[]),
        (
            "extra=$SNAP/bin/extra\nif test -x \"$extra\"; then \"$extra\" now; fi",
            &[],
        ),
        ("command -v $SNAP/bin/extra && $SNAP/bin/extra", &[]),
        ("true # see $SNAP/bin/old", &[]),
        ("ls $SNAP/bin/old", &[]),
        ("\"$SNAP/bin/extra\"", &["missing-program"]),
        ("env A=b nice -n 5 $SNAP/bin/extra", &["missing-program"]),
        ("$SNAP_COMMON/bin/extra", &[]),
    ] {
        check(&format!("{UNSET}\n{call}\n{SET}"), expected);
    }
}

#[test]
fn y_underscore() {
    for (written, read) in [
        ("12_345", "12345"),
        ("0x1F", "31"),
        ("0o17", "15"),
        ("0123", "83"),
        ("yes", "true"),
        ("1.10", "1.1"),
        ("~", "null"),
    ] {
        let gadget = gadget(&format!("{UNSET}\n{SET}"), REQUEST);
        let defaults = format!("defaults:\n  {SNAP_ID}:\n    own:\n      option: ");
        gadget.edit(
            "meta/gadget.yaml",
            "connections:",
            &format!("{defaults}{written}\nconnections:"),
        );
        let checked = gadget.check();
        assert_eq!(checked.codes(), ["yaml-value"], "{written}: {:#}", checked.report);
        assert_eq!(checked.status, 0);
        let finding = &checked.report["findings"][0];
        let what = finding["what"].as_str().unwrap();
        assert!(what.contains(written) && what.contains(read), "{what}");
        assert!(
            finding["where"].as_str().unwrap().ends_with("own.option"),
            "{finding}"
        );
        gadget.edit("meta/gadget.yaml", written, &format!("'{written}'"));
        gadget.check().is_clean();
    }
    let gadget = gadget(&format!("{UNSET}\n{SET}"), REQUEST);
    let values = "[true, 12345, -7, 1:30, 2026-11-25, text, \"0x1F\", 1.5, !!str 0x1F, false]";
    let defaults = format!("defaults:\n  {SNAP_ID}:\n    own: {values}\nconnections:");
    gadget.edit("meta/gadget.yaml", "connections:", &defaults);
    gadget.check().is_clean();
}

#[test]
fn placeholders_of_snap_ids() {
    for snap_id in [
        "YOUR32CHARACTERSNAPIDGOESHERE123",
        "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
    ] {
        let gadget = gadget(&format!("{UNSET}\n{SET}"), REQUEST);
        gadget.edit("meta/gadget.yaml", SNAP_ID, snap_id);
        let checked = gadget.check();
        assert_eq!(checked.codes(), ["placeholder-snap-id"], "{:#}", checked.report);
    }
}

/// What cannot be read is said, whatever the size of the script.
#[test]
fn hostile_scripts_end_in_time() {
    let large = "true\n".repeat(2 << 20);
    let deep = "(".repeat(100_000) + &")".repeat(100_000);
    for script in [
        large.as_str(),
        &deep,
        "if ; then fi fi",
        "\"$PROGRAM\" a",
        "\u{fffd}'",
        &"sh -c '".repeat(999),
    ] {
        let checked = gadget(&format!("{UNSET}\n{SET}\n{script}"), REQUEST).check();
        let start = &script[..script.len().min(20)];
        assert_eq!(checked.codes(), ["not-checked"], "{start}: {:#}", checked.report);
        assert_eq!(checked.status, 0);
    }
    let gadget = gadget("", REQUEST);
    let script = [
        b"#!/bin/sh\n",
        UNSET.as_bytes(),
        b"\n",
        SET.as_bytes(),
        b"\n\xff\xfe \xc3(\n",
    ]
    .concat();
    std::fs::write(gadget.path("meta/hooks/prepare-device"), script).unwrap();
    assert_eq!(gadget.check().status, 0);
    // Scripts that call each other grow without end.
    let calls = "\"$SNAP/bin/b\" \"$@\" x\n".repeat(100);
    gadget.script("bin/a", &calls.replace("bin/b", "bin/c"));
    gadget.script("bin/b", &calls.replace("bin/b", "bin/a"));
    gadget.script("bin/c", &calls.replace("bin/b", "meta/hooks/prepare-device"));
    gadget.script("meta/hooks/prepare-device", &format!("{UNSET}\n{SET}\n{calls}"));
    assert_eq!(gadget.check().codes(), ["not-checked"]);
}

#[test]
fn hostile_values_and_apps_end_in_time() {
    // Values that grow, and conditions within each other, are read as far as they matter.
    let doubled = "A=xxxxxxxxxxxxxxxx; ".to_owned() + &"A=$A$A\n".repeat(60) + &"echo $A$A$A\n".repeat(5000);
    let either = "case $1 in a) A=1;; b) A=2;; esac\n".to_owned() + &"B=$A$A$A; echo $B$B\n".repeat(1000);
    let negated = "! ".repeat(50_000) + "[ -x a ] && b";
    for script in [doubled, either, negated, "$SNAP/bin/a ".repeat(50_000)] {
        let checked = gadget(&format!("{UNSET}\n{SET}\n{script}"), REQUEST).check();
        assert_eq!(checked.status, 0, "{:#}", checked.report);
    }
    let many = gadget(&format!("{UNSET}\n{SET}"), REQUEST);
    many.script("bin/a", &"A=$A$SNAP; $SNAP/bin/b $A\n".repeat(10_000));
    let apps: String = (0..5000)
        .map(|number| format!("  a{number}: {{command: bin/a}}\n"))
        .collect();
    many.edit_snap("hooks:", &format!("apps:\n{apps}hooks:"));
    assert_eq!(many.check().codes(), ["missing-program", "not-checked"]);
}
