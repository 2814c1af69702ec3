//! The example gadget in snap/: its settings file, and the snap that snap/pack.sh packs.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{CONFIGURE, Expect as _};
use hardware_identity::config::NAMES;
use testbed::Device;
use toml::de::{DeTable, DeValue};

const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// The settings file with the settings that are commented out.
fn all_settings() -> String {
    let file = fs::read_to_string(Path::new(SOURCE).join("snap/hardware-identity.toml")).unwrap();
    let uncommented = file.lines().map(|line| match line.strip_prefix("# ") {
        Some(setting)
            if setting
                .split_once(" = ")
                .is_some_and(|(name, _)| !name.contains(' ')) =>
        {
            setting
        }
        _ => line,
    });
    uncommented.map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn the_settings_file_has_every_setting_and_right_values() {
    let device = Device::new().unwrap();
    device.write_settings(&all_settings()).unwrap();
    device.hook(CONFIGURE.as_ref()).run().unwrap().succeeded();

    let settings = all_settings();
    let settings = DeTable::parse(&settings).unwrap().into_inner();
    for name in NAMES {
        let (table, key) = name
            .trim_end_matches(".NAME")
            .split_once('.')
            .unwrap_or(("", name));
        let exists = match settings.get(table).map(|table| table.get_ref()) {
            Some(DeValue::Table(table)) => table.contains_key(key),
            _ => settings.contains_key(key),
        };
        assert!(exists, "{name} is missing");
    }
}

#[test]
fn its_version_is_the_projects() {
    let description = fs::read_to_string(Path::new(SOURCE).join("snap/snapcraft.yaml")).unwrap();
    let version = format!("version: '{}'\n", env!("CARGO_PKG_VERSION"));
    assert!(
        description.contains(&version),
        "snapcraft.yaml has another version than Cargo.toml"
    );
}

#[track_caller]
fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Packs the gadget into a directory, and returns the path that the last line on stdout names.
fn pack(directory: &Path) -> PathBuf {
    let output = succeed(Command::new(Path::new(SOURCE).join("snap/pack.sh")).arg(directory));
    let stdout = String::from_utf8(output.stdout).unwrap();
    stdout.lines().last().unwrap().into()
}

#[test]
fn it_packs_reproducibly_and_has_no_problems() {
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = ["a", "b"].map(|name| pack(&directory.path().join(name)));
    assert!(
        first.starts_with(directory.path()) && first != second,
        "{first:?}"
    );
    assert!(
        fs::read(&first).unwrap() == fs::read(&second).unwrap(),
        "the snaps differ"
    );

    let check = succeed(
        Command::new(common::program("hardware-identity"))
            .args(["check-gadget", "--json"])
            .arg(&first),
    );
    let report: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    // The snap-id of the example is for an author to replace.
    assert!(
        findings
            .iter()
            .all(|finding| finding["code"] == "placeholder-snap-id"),
        "{report:#}"
    );
    assert!(!findings.is_empty(), "{report:#}");
}
