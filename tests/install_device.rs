//! The hook install-device: in install mode with and without the factory flag, and on a factory reset.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::line::{DESCRIPTION, Line, check_export, names_in};
use common::{Expect as _, HANDLE, INSTALL_DEVICE};
use testbed::{Command, Fault, When};

#[test]
fn what_an_export_needs_is_asked_for_before_anything_is_made() {
    for missing in 0..DESCRIPTION.len() {
        let mut settings = DESCRIPTION;
        let (name, _) = settings[missing].split_once(' ').unwrap();
        settings[missing] = "";
        let file = "file:/nonexistent/export.json";
        let factory = format!("[factory]\nexport = '{file}'\nthen = 'halt'\n");
        let line = Line::with_settings(&(settings.concat() + &factory));
        let parts = [
            &format!("the setting `factory.export` is {file}, and what an export needs is not set: {name}"),
            "Set it",
        ];
        line.failed(line.hook(), &parts);
        assert_eq!(line.world.tpm.total(), 0);
        assert!(names_in(&line.world.device.save_data()).is_empty());
    }
}

#[test]
fn the_device_can_stop_without_an_export_and_export_without_stopping() {
    let line = Line::with_settings("[factory]\nthen = 'halt'\n");
    line.hook().run().unwrap().succeeded();
    assert_eq!(line.stop().as_deref(), Some("halt"));
    assert_eq!(line.world.record()["name"], line.world.name_at_handle());

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e.json");
    let export = format!("factory.export = 'file:{}'\n", file.display());
    let line = Line::with_settings(&(DESCRIPTION.concat() + &export));
    line.hook().run().unwrap().succeeded();
    check_export(&line.world, &fs::read_to_string(&file).unwrap());
    assert_eq!(line.stop(), None);

    let line = Line::with_settings("");
    line.hook().run().unwrap().succeeded();
    assert_eq!(line.stop(), None);
    line.run_mode_works();
}

#[test]
fn a_device_that_cannot_be_stopped_is_an_error() {
    let (line, file) = Line::to_file();
    let script = "case $1 in reboot) echo refused >&2; exit 1 ;; *) exec \"$SNAPCTL\" \"$@\" ;; esac";
    let hook = line.world.hook_with_snapctl(script, INSTALL_DEVICE);
    hook.run()
        .unwrap()
        .failed(&["`snapctl reboot --poweroff` failed", "refused"]);
    assert!(file.exists());
}

#[test]
fn without_the_factory_flag_the_identity_is_made_and_nothing_else() {
    let (line, file) = Line::to_file();
    line.boot("install", false);
    line.hook().run().unwrap().succeeded();
    assert!(!file.exists());
    assert_eq!(line.stop(), None);
    assert_eq!(line.world.record()["name"], line.world.name_at_handle());
    line.run_mode_works();
}

#[test]
fn without_the_factory_flag_a_tpm_that_fails_does_not_stop_the_installation() {
    let (line, file) = Line::to_file();
    line.boot("install", false);
    let outcome = line.hook_without_tpm().run().unwrap();
    assert!(outcome.status.success(), "{}", outcome.merged);
    let warning =
        "install-device: warning: prepare-device has to make the hardware identity: there is no TPM";
    assert!(outcome.merged.starts_with(warning), "{}", outcome.merged);
    // With the flag the line has to hear of it.
    line.boot("install", true);
    line.failed(line.hook_without_tpm(), &["there is no TPM"]);
    line.world
        .tpm
        .fail(Command::CreatePrimary, When::Always, Fault::Respond(0x185));
    line.failed(line.hook(), &["the endorsement hierarchy"]);
    assert!(!file.exists());
}

#[test]
fn a_data_folder_of_install_mode_that_is_lost_does_not_matter() {
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

/// A device that has been in the field and is reset to the factory's state.
fn reset() -> (Line, PathBuf) {
    let (line, file) = Line::to_file();
    line.boot("run", false);
    line.world.prepare_device().succeeded();
    line.boot("factory-reset", false);
    (line, file)
}

#[test]
fn on_a_factory_reset_the_identity_is_the_recorded_one() {
    for factory in [false, true] {
        let (line, file) = reset();
        line.boot("factory-reset", factory);
        let record = fs::read(line.world.record_file()).unwrap();
        line.hook().run().unwrap().succeeded();
        // snapd clears the TPM where the disk is encrypted.
        line.world.tpm.clear_by_platform().unwrap();
        assert!(line.world.tpm.persistent_handles().unwrap().is_empty());
        line.hook().run().unwrap().succeeded();
        assert_eq!(line.world.tpm.persistent_handles().unwrap(), [HANDLE]);
        assert_eq!(fs::read(line.world.record_file()).unwrap(), record);
        assert!(!file.exists(), "nothing is exported");
        assert_eq!(line.stop(), None);
        line.run_mode_works();
    }
}

#[test]
fn on_a_factory_reset_another_tpm_is_refused() {
    let (line, file) = reset();
    line.world.tpm.change_eps().unwrap();
    for factory in [false, true] {
        line.boot("factory-reset", factory);
        let before = line.world.traces();
        line.failed(
            line.hook(),
            &["this is not the TPM that made the hardware identity"],
        );
        assert_eq!(line.world.traces(), before);
    }
    assert!(!file.exists());
    // The same in install mode, where a record is found at all.
    for factory in [false, true] {
        line.boot("install", factory);
        line.failed(
            line.hook(),
            &["this is not the TPM that made the hardware identity"],
        );
    }
    assert!(!file.exists());
}

#[test]
fn on_a_factory_reset_a_tpm_that_does_not_answer_is_no_match() {
    let (line, _) = reset();
    line.failed(line.hook_without_tpm(), &["there is no TPM"]);
}

#[test]
fn on_a_factory_reset_without_a_record_it_is_written_with_a_warning() {
    let (line, file) = reset();
    let record = line.world.record();
    fs::remove_file(line.world.record_file()).unwrap();
    let outcome = line.hook().run().unwrap();
    assert!(outcome.status.success(), "{}", outcome.merged);
    assert!(
        outcome
            .merged
            .contains("warning: there is no record of the hardware identity"),
        "{}",
        outcome.merged
    );
    assert_eq!(line.world.record()["name"], record["name"]);
    assert!(!file.exists());
}

#[test]
fn a_mode_in_which_nothing_is_installed_is_an_error() {
    for mode in ["run", "recover"] {
        let (line, file) = Line::to_file();
        line.boot(mode, true);
        line.failed(
            line.hook(),
            &[&format!("the system mode is {mode}"), "Let snapd run it"],
        );
        assert!(!file.exists());
        assert_eq!(line.world.tpm.total(), 0);
    }
    let line = Line::with_settings("");
    let script = "case $1 in system-mode) echo what ;; *) exec \"$SNAPCTL\" \"$@\" ;; esac";
    let hook = line.world.hook_with_snapctl(script, INSTALL_DEVICE);
    hook.run()
        .unwrap()
        .failed(&["`snapctl system-mode` did not answer as snapctl does"]);
}

#[test]
fn a_wrong_setting_stops_it_first() {
    let line = Line::new("console", "reboot");
    line.failed(
        line.hook(),
        &["line 7: `factory.then`", "allowed: halt, poweroff"],
    );
    assert_eq!(line.world.tpm.total(), 0);
}
