//! The hook install-device: in install mode with and without the factory flag, and on a factory
//! reset.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::line::{EXPORT_SETTINGS, Line, check_export, names_in};
use common::{Expect as _, HANDLE, INSTALL_DEVICE};
use testbed::{Command, Fault, When};

#[test]
fn settings_of_an_export_are_checked_before_the_identity_is_made() {
    for missing in 0..EXPORT_SETTINGS.len() {
        let mut settings = EXPORT_SETTINGS;
        let (name, _) = settings[missing].split_once(' ').unwrap();
        settings[missing] = "";
        let file = "file:/nonexistent/export.json";
        let factory = format!("[factory]\nexport = '{file}'\nthen = 'halt'\n");
        let line = Line::with_settings(&(settings.concat() + &factory));
        line.failed(line.hook(), "export-settings-missing", &[name]);
        assert_eq!(line.world.tpm.total(), 0);
        assert!(names_in(&line.world.device.save_data()).is_empty());
    }
}

#[test]
fn shutdown_and_export_work_without_each_other() {
    let line = Line::with_settings("[factory]\nthen = 'halt'\n");
    line.hook().run().unwrap().succeeded();
    assert_eq!(line.shutdown().as_deref(), Some("halt"));
    assert_eq!(line.world.record()["name"], line.world.name_at_handle());

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("e.json");
    let export = format!("factory.export = 'file:{}'\n", file.display());
    let line = Line::with_settings(&(EXPORT_SETTINGS.concat() + &export));
    line.hook().run().unwrap().succeeded();
    check_export(&line.world, &fs::read_to_string(&file).unwrap());
    assert_eq!(line.shutdown(), None);

    let line = Line::with_settings("");
    line.hook().run().unwrap().succeeded();
    assert_eq!(line.shutdown(), None);
    line.run_mode_works();
}

#[test]
fn a_shutdown_that_snapd_refuses_is_an_error() {
    let (line, file) = Line::to_file();
    let script = "case $1 in reboot) echo refused >&2; exit 1 ;; *) exec \"$SNAPCTL\" \"$@\" ;; esac";
    let hook = line.world.hook_with_snapctl(script, INSTALL_DEVICE);
    hook.run()
        .unwrap()
        .failed("snapctl-failed", &["snapctl reboot --poweroff", "refused"]);
    assert!(file.exists());
}

#[test]
fn without_the_factory_flag_only_the_identity_is_made() {
    let (line, file) = Line::to_file();
    line.boot("install", false);
    line.hook().run().unwrap().succeeded();
    assert!(!file.exists());
    assert_eq!(line.shutdown(), None);
    assert_eq!(line.world.record()["name"], line.world.name_at_handle());
    line.run_mode_works();
}

#[test]
fn without_the_factory_flag_a_tpm_failure_is_a_warning() {
    let (line, file) = Line::to_file();
    line.boot("install", false);
    let outcome = line.hook_without_tpm().run().unwrap();
    outcome.warned(&["tpm-missing"]);
    // On a factory boot it is an error.
    line.boot("install", true);
    line.failed(line.hook_without_tpm(), "tpm-missing", &[]);
    line.world
        .tpm
        .fail(Command::CreatePrimary, When::Always, Fault::Respond(0x185));
    line.failed(line.hook(), "tpm-hierarchy-disabled", &[]);
    assert!(!file.exists());
}

#[test]
fn a_record_that_is_lost_after_install_mode_is_written_again() {
    let line = Line::with_settings("");
    line.boot("install", false);
    line.hook()
        .without_env("SNAP_SAVE_DATA")
        .run()
        .unwrap()
        .succeeded();
    let name = line.world.name_at_handle();
    // $SNAP_COMMON is in memory there.
    fs::remove_dir_all(line.world.device.common()).unwrap();
    fs::create_dir(line.world.device.common()).unwrap();
    line.run_mode_works();
    assert_eq!(line.world.record()["name"], name);
}

/// A device that was in use and gets a factory reset.
fn reset() -> (Line, PathBuf) {
    let (line, file) = Line::to_file();
    line.boot("run", false);
    line.world.prepare_device().succeeded();
    line.boot("factory-reset", false);
    (line, file)
}

#[test]
fn a_factory_reset_keeps_the_recorded_identity() {
    for factory in [false, true] {
        let (line, file) = reset();
        line.boot("factory-reset", factory);
        let record = fs::read(line.world.record_file()).unwrap();
        line.hook().run().unwrap().succeeded();
        // snapd clears the TPM if the disk is encrypted.
        line.world.tpm.clear_by_platform().unwrap();
        assert!(line.world.tpm.persistent_handles().unwrap().is_empty());
        line.hook().run().unwrap().succeeded();
        assert_eq!(line.world.tpm.persistent_handles().unwrap(), [HANDLE]);
        assert_eq!(fs::read(line.world.record_file()).unwrap(), record);
        assert!(!file.exists(), "nothing is exported");
        assert_eq!(line.shutdown(), None);
        line.run_mode_works();
    }
}

#[test]
fn a_factory_reset_refuses_another_tpm() {
    let (line, file) = reset();
    line.world.tpm.change_eps().unwrap();
    for factory in [false, true] {
        line.boot("factory-reset", factory);
        let before = line.world.traces();
        line.failed(line.hook(), "identity-of-other-tpm", &[]);
        assert_eq!(line.world.traces(), before);
    }
    assert!(!file.exists());
    // The same in install mode with a record.
    for factory in [false, true] {
        line.boot("install", factory);
        line.failed(line.hook(), "identity-of-other-tpm", &[]);
    }
    assert!(!file.exists());
}

#[test]
fn a_factory_reset_without_a_tpm_is_an_error() {
    let (line, _) = reset();
    line.failed(line.hook_without_tpm(), "tpm-missing", &[]);
}

#[test]
fn a_factory_reset_without_a_record_writes_one_with_a_warning() {
    let (line, file) = reset();
    let record = line.world.record();
    fs::remove_file(line.world.record_file()).unwrap();
    let outcome = line.hook().run().unwrap();
    outcome.warned(&["record-missing"]);
    assert_eq!(line.world.record()["name"], record["name"]);
    assert!(!file.exists());
}

#[test]
fn run_and_recover_mode_are_an_error() {
    for mode in ["run", "recover"] {
        let (line, file) = Line::to_file();
        line.boot(mode, true);
        line.failed(line.hook(), "system-mode-unsupported", &[mode]);
        assert!(!file.exists());
        assert_eq!(line.world.tpm.total(), 0);
    }
    let line = Line::with_settings("");
    let script = "case $1 in system-mode) echo what ;; *) exec \"$SNAPCTL\" \"$@\" ;; esac";
    let hook = line.world.hook_with_snapctl(script, INSTALL_DEVICE);
    hook.run()
        .unwrap()
        .failed("snapctl-unexpected-output", &["snapctl system-mode"]);
}

#[test]
fn settings_are_checked_before_the_tpm_is_used() {
    let line = Line::new("console", "reboot");
    line.failed(line.hook(), "setting-invalid", &["line 7", "factory.then"]);
    assert_eq!(line.world.tpm.total(), 0);
}
