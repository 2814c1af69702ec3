//! `hardware-identity check-gadget`: its findings, output and exit statuses.

#![allow(clippy::unwrap_used)]

mod bypassed;
mod cases;
mod findings;
mod gadget;
mod layouts;
mod libraries;
mod packed;
mod public;
mod token;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use gadget::{Gadget, tool};

#[test]
fn a_correct_gadget_has_no_findings() {
    let gadget = Gadget::new();
    gadget.check().is_clean();
    let output = tool(&[gadget.root().to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
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
        // Cargo builds the programs of all packages into one directory.
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
    gadget.check().is_clean();
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
fn the_text_has_three_lines_for_each_finding_errors_first() {
    let gadget = Gadget::new();
    gadget.write("meta/hooks/README", "");
    gadget.edit_snap("  prepare-serial-request:", "  prepare-serial:");
    gadget.rename("meta/hooks/prepare-serial-request", "meta/hooks/prepare-serial");
    let output = tool(&[gadget.root().to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 7, "{text}");
    for (number, severity, place) in [
        (0, "error", "meta/hooks/prepare-serial"),
        (3, "warning", "meta/hooks/README"),
    ] {
        assert!(
            lines[number].starts_with(&format!("{severity}: {place}: ")),
            "{text}"
        );
        assert!(lines[number].ends_with(" [ignored-hook]"), "{text}");
        assert!(lines[number + 1].starts_with("  why: "), "{text}");
        assert!(lines[number + 2].starts_with("  fix: "), "{text}");
    }
    assert!(lines[2].contains("prepare-serial-request"), "{text}");
    assert_eq!(lines[6], "1 error, 1 warning");
}

#[test]
fn the_json_has_all_values_of_a_finding() {
    let gadget = Gadget::new();
    gadget.remove("meta/hooks/configure");
    gadget.edit_gadget("defaults:", "x-defaults:");
    let checked = gadget.check();
    assert_eq!(checked.status, 0);
    assert_eq!(checked.report["errors"], 0);
    assert_eq!(checked.report["warnings"], 1);
    assert_eq!(checked.report["infos"], 0);
    let finding = checked.report["findings"][0].as_object().unwrap();
    let names: Vec<&str> = finding.keys().map(String::as_str).collect();
    assert_eq!(names, ["code", "fix", "severity", "what", "where", "why"]);
    assert_eq!(finding["severity"], "warning");
    assert!(finding.values().all(|value| !value.as_str().unwrap().is_empty()));
}

/// An author's own scripts call the programs and set LD_LIBRARY_PATH.
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
    gadget.script("bin/chain", "export LD_LIBRARY_PATH=$SNAP/usr/lib\nexec \"$@\"");
    gadget.script(
        "bin/tool",
        "LD_LIBRARY_PATH=$SNAP/usr/lib exec $SNAP/bin/hardware-identity",
    );
    gadget.edit_snap("bin/hardware-identity", "bin/tool");
    gadget.check().is_clean();
    gadget.copy(&program, "meta/hooks/prepare-serial-request");
    gadget.check().is_clean();
    gadget.edit("meta/hooks/prepare-device", "export", "# export");
    let checked = gadget.check();
    assert_eq!(checked.codes(), ["missing-library"], "{:#}", checked.report);
    assert_eq!(checked.report["findings"][0]["where"], "bin/prepare-device");
}

/// `bindUnscopedPlugs` of snapd.
#[test]
fn plugs_that_no_hook_or_app_lists_belong_to_all() {
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
    gadget.check().is_clean();
}

#[test]
fn yaml_is_read_as_snapd_reads_it() {
    let gadget = Gadget::new();
    gadget.edit_snap("version: '1'", "version: 1.10\nslots:\nplugs: ~\nlicense: # none");
    gadget.edit_snap("environment:", "environment:\n  NUMBER: 1\n  SWITCH: yes");
    gadget.edit_snap(
        "  install-device:",
        "  configure:\n  connect-plug-tpm: {}\n  install-device:",
    );
    gadget.script("meta/hooks/connect-plug-tpm", "true");
    gadget.check().is_clean();
}

#[test]
fn a_device_without_a_serial_needs_no_url() {
    let gadget = Gadget::new();
    gadget.write("hardware-identity.toml", "[device-service]\naccess = 'offline'\n");
    gadget.check().is_clean();
    gadget.write("hardware-identity.toml", "");
    assert_eq!(
        gadget.check().codes(),
        ["no-device-service-url", "no-proposed-serial"]
    );
    gadget.edit_gadget(
        "      tpm-wait: 120",
        "      tpm-wait: 120\n    device-service: {access: offline}",
    );
    gadget.check().is_clean();
}

#[test]
fn defaults_and_scripts_can_set_the_url() {
    let gadget = Gadget::new();
    gadget.write("hardware-identity.toml", "");
    let options = "      tpm-wait: 120\n    device-service: {url: 'https://serial.example/'}\n    \
                   registration.proposed-serial: x";
    gadget.edit_gadget("      tpm-wait: 120", options);
    gadget.check().is_clean();
    let gadget = Gadget::new();
    gadget.write("hardware-identity.toml", "");
    let script = "snapctl unset registration.body\nsnapctl set device-service.url=https://serial.example/\n\
                  snapctl set -s registration.proposed-serial=\"$(hardware-identity show --json | jq .digest)\"";
    gadget.script("meta/hooks/prepare-device", script);
    gadget.check().is_clean();
}

#[test]
fn a_snapcraft_project_is_refused() {
    for source in ["snap/snapcraft.yaml", "snapcraft.yaml"] {
        let project = tempfile::tempdir().unwrap();
        fs::create_dir(project.path().join("snap")).unwrap();
        fs::write(project.path().join(source), "name: x\n").unwrap();
        let path = project.path().to_str().unwrap();
        let output = tool(&[path]).output().unwrap();
        assert!(output.stdout.is_empty());
        refused(&output, "snapcraft-project");
        let output = tool(&["--json", path]).output().unwrap();
        refused(&output, "snapcraft-project");
        let failure: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(failure["code"], "snapcraft-project");
        assert!(failure["cause"].is_string() && failure["advice"].is_string());
    }
}

#[test]
fn a_wrong_command_line_has_its_own_status() {
    for arguments in [&[][..], &["a", "b"], &["--yaml", "a"]] {
        assert_eq!(tool(arguments).output().unwrap().status.code(), Some(2));
    }
}

/// One line on stderr that ends with the code, and status 1.
fn refused(output: &Output, code: &str) {
    failed(output, code, 1);
}

/// One line on stderr that ends with the code, and the exit status.
fn failed(output: &Output, code: &str, status: i32) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.trim_end().ends_with(&format!("[{code}]")),
        "{code}: {stderr}"
    );
}
