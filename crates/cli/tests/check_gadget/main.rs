//! `hardware-identity check-gadget`: finds what is wrong, and nothing where nothing is.

#![allow(clippy::unwrap_used)]

mod findings;
mod gadget;
mod libraries;
mod packed;

use std::fs;
use std::path::Path;
use std::process::Command;

use gadget::{Gadget, tool};

#[test]
fn a_right_gadget_has_no_findings() {
    let gadget = Gadget::new();
    gadget.check().found_nothing();
    let output = tool(&[gadget.root().to_str().unwrap()]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "nothing found\n");
    assert_eq!(output.status.code(), Some(0));
}

/// The hooks of this build with the libraries of this machine.
#[test]
fn the_real_hooks_have_no_findings() {
    let gadget = Gadget::new();
    let programs = [
        ("meta/hooks/prepare-device", "prepare-device"),
        ("meta/hooks/prepare-serial-request", "prepare-serial-request"),
        ("bin/hardware-identity", "hardware-identity"),
    ];
    for (path, program) in programs {
        gadget.remove(path);
        // cargo builds the programs of all packages into one directory.
        let program = &Path::new(env!("CARGO_BIN_EXE_hardware-identity")).with_file_name(program);
        fs::hard_link(program, gadget.path(path))
            .or_else(|_| fs::copy(program, gadget.path(path)).map(drop))
            .unwrap();
    }
    for library in [
        "mu.so.0",
        "esys.so.0",
        "sys.so.1",
        "tctildr.so.0",
        "tcti-device.so.0",
    ] {
        let library = format!("libtss2-{library}");
        gadget.copy(&on_this_machine(&library), &format!("usr/lib/{library}"));
    }
    gadget.check().found_nothing();
    gadget.remove("usr/lib/libtss2-sys.so.1");
    let checked = gadget.check();
    assert_eq!(checked.codes(), ["missing-library"]);
    assert_eq!(
        checked.report["findings"][0]["where"],
        "usr/lib/libtss2-esys.so.0"
    );
}

fn on_this_machine(library: &str) -> std::path::PathBuf {
    let output = Command::new("gcc")
        .arg(format!("-print-file-name={library}"))
        .output()
        .unwrap();
    let path = String::from_utf8(output.stdout).unwrap();
    assert!(
        Path::new(path.trim()).is_absolute(),
        "{library} is not on this machine"
    );
    fs::canonicalize(path.trim()).unwrap()
}

#[test]
fn people_read_what_why_and_how_to_mend_it_errors_first() {
    let gadget = Gadget::new();
    gadget.write("meta/hooks/README", "");
    gadget.edit_snap("  prepare-serial-request:", "  prepare-serial:");
    gadget.rename("meta/hooks/prepare-serial-request", "meta/hooks/prepare-serial");
    let output = tool(&[gadget.root().to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "error: meta/hooks/prepare-serial: snapd knows no hook prepare-serial [ignored-hook]"
    );
    assert!(
        lines[1].starts_with("  why: ") && lines[1].contains("without a word"),
        "{text}"
    );
    assert_eq!(lines[2], "  mend: Rename it to prepare-serial-request");
    assert!(lines[3].starts_with("warning: meta/hooks/README: "), "{text}");
    assert_eq!(lines[6..], ["1 error, 1 warning"]);
}

#[test]
fn programs_read_all_of_it_as_json() {
    let gadget = Gadget::new();
    gadget.remove("meta/hooks/configure");
    gadget.edit_gadget("defaults:", "x-defaults:");
    let checked = gadget.check();
    assert_eq!(checked.status, 0);
    assert_eq!(checked.report["errors"], 0);
    assert_eq!(checked.report["warnings"], 1);
    let finding = checked.report["findings"][0].as_object().unwrap();
    let names: Vec<&str> = finding.keys().map(String::as_str).collect();
    assert_eq!(names, ["code", "mend", "severity", "what", "where", "why"]);
    assert_eq!(finding["severity"], "warning");
    assert!(finding.values().all(|value| !value.as_str().unwrap().is_empty()));
}

/// An author's own scripts call the programs, with a path of their own to the libraries.
#[test]
fn hooks_can_be_scripts() {
    let gadget = Gadget::new();
    let program = gadget::Parts::get().path("program");
    for name in ["prepare-device", "prepare-serial-request"] {
        gadget.copy(&program, &format!("bin/{name}"));
        let script = format!("export LD_LIBRARY_PATH=\"$SNAP/usr/lib\"\nexec \"${{SNAP}}/bin/{name}\"");
        gadget.script(&format!("meta/hooks/{name}"), &script);
    }
    gadget.edit_snap("environment:\n  LD_LIBRARY_PATH: $SNAP/usr/lib\n", "");
    gadget.edit_snap(
        "install-device:",
        "install-device:\n    environment: {LD_LIBRARY_PATH: $SNAP/usr/lib}",
    );
    gadget.script(
        "bin/chain",
        "LD_LIBRARY_PATH=$SNAP/usr/lib exec $SNAP/bin/hardware-identity",
    );
    gadget.edit_snap("bin/hardware-identity", "bin/chain");
    gadget.check().found_nothing();
    gadget.copy(&program, "meta/hooks/prepare-serial-request");
    gadget.check().found_nothing();
    gadget.edit("meta/hooks/prepare-device", "export", "# export");
    let checked = gadget.check();
    assert_eq!(checked.codes(), ["missing-library"], "{:#}", checked.report);
    assert_eq!(checked.report["findings"][0]["where"], "bin/prepare-device");
}

/// As bindUnscopedPlugs of snapd has it.
#[test]
fn plugs_that_nobody_lists_belong_to_all() {
    let gadget = Gadget::new();
    gadget.edit_snap("    plugs: [tpm, hardware-observe]\n", "");
    gadget.edit_snap("    plugs: [tpm]\n", "");
    gadget.edit_snap(
        "assumes:",
        "plugs:\n  tpm:\n  serial-number: {interface: hardware-observe}\n  x: network\nassumes:",
    );
    gadget.edit_gadget(
        "SNAP_ID:hardware-observe"
            .replace("SNAP_ID", gadget::SNAP_ID)
            .as_str(),
        &format!("{}:serial-number", gadget::SNAP_ID),
    );
    gadget.check().found_nothing();
}

#[test]
fn yaml_is_taken_as_snapd_takes_it() {
    let gadget = Gadget::new();
    gadget.edit_snap("version: '1'", "version: 1.10\nslots:\nplugs: ~\nlicense: # none");
    gadget.edit_snap("environment:", "environment:\n  NUMBER: 1\n  SWITCH: yes");
    gadget.edit_snap(
        "  install-device:",
        "  configure:\n  connect-plug-tpm: {}\n  install-device:",
    );
    gadget.script("meta/hooks/connect-plug-tpm", "true");
    gadget.check().found_nothing();
}

#[test]
fn a_device_that_asks_for_no_serial_needs_no_address() {
    let gadget = Gadget::new();
    gadget.write("hardware-identity.toml", "[device-service]\naccess = 'offline'\n");
    gadget.check().found_nothing();
    gadget.write("hardware-identity.toml", "");
    assert_eq!(
        gadget.check().codes(),
        ["no-device-service-url", "no-proposed-serial"]
    );
    gadget.edit_gadget(
        "      tpm-wait: 120",
        "      tpm-wait: 120\n    device-service: {access: offline}",
    );
    gadget.check().found_nothing();
}

#[test]
fn defaults_and_scripts_can_set_the_address() {
    let gadget = Gadget::new();
    gadget.write("hardware-identity.toml", "");
    let options = "      tpm-wait: 120\n    device-service: {url: 'https://serial.example/'}\n    \
                   registration.proposed-serial: x";
    gadget.edit_gadget("      tpm-wait: 120", options);
    gadget.check().found_nothing();
    let gadget = Gadget::new();
    gadget.write("hardware-identity.toml", "");
    let script = "snapctl unset registration.body\nsnapctl set device-service.url=https://serial.example/\n\
                  snapctl set -s registration.proposed-serial=\"$(hardware-identity show --json | jq .digest)\"";
    gadget.script("meta/hooks/prepare-device", script);
    gadget.check().found_nothing();
}

#[test]
fn a_snapcraft_project_is_told_to_prime_or_pack_first() {
    for source in ["snap/snapcraft.yaml", "snapcraft.yaml"] {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("snap")).unwrap();
        fs::write(folder.path().join(source), "name: x\n").unwrap();
        let output = tool(&[folder.path().to_str().unwrap()]).output().unwrap();
        refused(
            &output,
            &["is a snapcraft project", "snapcraft prime", "snapcraft pack"],
        );
    }
}

#[test]
fn a_wrong_command_line_has_a_status_of_its_own() {
    for arguments in [&[][..], &["a", "b"], &["--yaml", "a"]] {
        assert_eq!(tool(arguments).output().unwrap().status.code(), Some(2));
    }
}

/// One line on stderr with all of `parts`, status 1, nothing on stdout.
fn refused(output: &std::process::Output, parts: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        output.stdout.is_empty() && stderr.lines().count() == 1,
        "{stderr}"
    );
    for part in parts {
        assert!(stderr.contains(part), "`{part}` is missing: {stderr}");
    }
}
