//! The software TPM and the operations of [`testbed::TestTpm`], checked with tpm2-tools.

#![allow(clippy::unwrap_used)] // also in helper functions of tests

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use testbed::{Fault, Gate, Hierarchy, SoftwareTpm, TestTpm, When};

/// TPM2_GetRandom of 8 bytes.
const GET_RANDOM: [u8; 12] = [0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 8];

fn primary_of(tpm: &TestTpm, hierarchy: &str) -> String {
    let public = tempfile::NamedTempFile::new().unwrap();
    let path = public.path().to_str().unwrap();
    let arguments = [
        "tpm2_createprimary",
        "-Q",
        "-C",
        hierarchy,
        "-G",
        "ecc",
        "-c",
        "/dev/null",
        "-f",
        "pem",
        "-o",
        path,
    ];
    tpm.tpm2(&arguments).unwrap();
    std::fs::read_to_string(path).unwrap()
}

fn exists(process_id: u32) -> bool {
    Path::new(&format!("/proc/{process_id}/stat")).exists()
}

#[test]
fn a_command_can_be_sent_directly_after_the_start() {
    let mut tpm = SoftwareTpm::start().unwrap();
    let response = tpm.exchange(&GET_RANDOM).unwrap();
    assert_eq!(response.len(), 10 + 2 + 8);
    assert_eq!(response[6..10], [0; 4]);
}

#[test]
fn dropping_it_removes_process_and_directory() {
    let tpm = SoftwareTpm::start().unwrap();
    let (directory, process) = (tpm.state_directory().to_owned(), tpm.process_id().unwrap());
    assert!(directory.exists() && exists(process));
    drop(tpm);
    assert!(!directory.exists() && !exists(process));
}

#[test]
fn dropping_it_removes_its_state_while_a_program_is_connected() {
    let tpm = TestTpm::new().unwrap();
    let directory = tpm.state_directory().unwrap();
    let gate = Gate::new();
    tpm.fail(
        testbed::Command::Any,
        When::Always,
        Fault::HoldAfter(gate.clone()),
    );
    let held = Command::new("tpm2_getrandom")
        .args(["-T", &tpm.tcti(), "8"])
        .stderr(Stdio::null())
        .spawn();
    gate.wait_for(1, Duration::from_secs(30)).unwrap();
    assert!(directory.exists());
    drop(tpm);
    assert!(!directory.exists());
    assert!(!held.unwrap().wait().unwrap().success());
}

#[test]
fn two_tpms_have_different_seeds() {
    let (one, other) = (TestTpm::new().unwrap(), TestTpm::new().unwrap());
    assert_ne!(primary_of(&one, "e"), primary_of(&other, "e"));
}

#[test]
fn a_kept_directory_gives_the_same_tpm() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let first = TestTpm::kept_in(&state).unwrap();
    first.persist_foreign_key(0x8100_0001).unwrap();
    let key = primary_of(&first, "e");
    drop(first);

    let second = TestTpm::kept_in(&state).unwrap();
    assert_eq!(second.persistent_handles().unwrap(), [0x8100_0001]);
    assert_eq!(primary_of(&second, "e"), key);
}

#[test]
fn a_restart_keeps_persistent_objects_and_loses_transient_ones() {
    let tpm = TestTpm::new().unwrap();
    tpm.resource_manager(false);
    tpm.persist_foreign_key(0x8100_0001).unwrap();
    primary_of(&tpm, "o");
    assert_eq!(tpm.transient_handles().unwrap(), [0x8000_0000]);

    tpm.restart().unwrap();
    assert!(tpm.transient_handles().unwrap().is_empty());
    assert_eq!(tpm.persistent_handles().unwrap(), [0x8100_0001]);
}

#[test]
fn each_clear_changes_only_the_owner_seed_and_removes_persistent_objects() {
    type Clear = fn(&TestTpm) -> anyhow::Result<()>;
    let clears: [Clear; 2] = [TestTpm::clear_by_platform, TestTpm::clear_by_lockout];
    for clear in clears {
        let tpm = TestTpm::new().unwrap();
        tpm.persist_foreign_key(0x8101_8C00).unwrap();
        let before = (primary_of(&tpm, "e"), primary_of(&tpm, "o"));
        clear(&tpm).unwrap();
        let after = (primary_of(&tpm, "e"), primary_of(&tpm, "o"));
        assert_eq!(before.0, after.0);
        assert_ne!(before.1, after.1);
        assert!(tpm.persistent_handles().unwrap().is_empty());
    }
}

#[test]
fn each_clear_uses_its_own_authorisation() {
    for (set, works) in [("p", false), ("l", true)] {
        let tpm = TestTpm::new().unwrap();
        tpm.tpm2(&["tpm2_changeauth", "-c", set, "secret"]).unwrap();
        assert_eq!(tpm.clear_by_platform().is_ok(), works);
        let tpm = TestTpm::new().unwrap();
        tpm.tpm2(&["tpm2_changeauth", "-c", set, "secret"]).unwrap();
        assert_eq!(tpm.clear_by_lockout().is_ok(), !works);
    }
}

#[test]
fn change_eps_changes_the_endorsement_seed() {
    let tpm = TestTpm::new().unwrap();
    let (endorsement, owner) = (primary_of(&tpm, "e"), primary_of(&tpm, "o"));
    tpm.change_eps().unwrap();
    assert_ne!(primary_of(&tpm, "e"), endorsement);
    assert_eq!(primary_of(&tpm, "o"), owner);
}

#[test]
fn an_authorisation_is_required_after_it_was_set() {
    let tpm = TestTpm::new().unwrap();
    tpm.set_owner_auth("secret").unwrap();
    tpm.set_endorsement_auth("hidden").unwrap();
    for (hierarchy, auth) in [("o", "secret"), ("e", "hidden")] {
        let create = |auth: &[&str]| {
            let mut arguments = vec![
                "tpm2_createprimary",
                "-Q",
                "-C",
                hierarchy,
                "-G",
                "ecc",
                "-c",
                "/dev/null",
            ];
            arguments.extend(auth);
            tpm.tpm2(&arguments)
        };
        let refusal = create(&[]).unwrap_err().to_string();
        assert!(refusal.contains("0x9A2"), "{refusal}");
        create(&["-P", auth]).unwrap();
    }
}

#[test]
fn a_restart_enables_a_disabled_hierarchy() {
    for (hierarchy, letter) in [(Hierarchy::Owner, "o"), (Hierarchy::Endorsement, "e")] {
        let tpm = TestTpm::new().unwrap();
        tpm.disable_hierarchy(hierarchy).unwrap();
        let arguments = [
            "tpm2_createprimary",
            "-Q",
            "-C",
            letter,
            "-G",
            "ecc",
            "-c",
            "/dev/null",
        ];
        let refusal = tpm.tpm2(&arguments).unwrap_err().to_string();
        assert!(refusal.contains("0x185"), "{refusal}");
        tpm.restart().unwrap();
        tpm.tpm2(&arguments).unwrap();
    }
}

#[test]
fn a_full_tpm_refuses_another_persistent_object() {
    let tpm = TestTpm::new().unwrap();
    let made = tpm.fill_nv_persistent().unwrap();
    assert_eq!(tpm.persistent_handles().unwrap().len(), made);
    let refusal = tpm.persist_foreign_key(0x8101_8C00).unwrap_err().to_string();
    assert!(refusal.contains("0x14b"), "{refusal}");
    assert!(tpm.transient_handles().unwrap().is_empty());
}

#[test]
fn a_foreign_key_is_stored_at_its_handle() {
    let tpm = TestTpm::new().unwrap();
    tpm.persist_foreign_key(0x8101_8C00).unwrap();
    assert_eq!(tpm.persistent_handles().unwrap(), [0x8101_8C00]);
    let public = tpm.tpm2(&["tpm2_readpublic", "-c", "0x81018C00"]).unwrap();
    assert!(
        public.contains("curve-id") || public.contains("NIST p256"),
        "{public}"
    );
    let refusal = tpm.persist_foreign_key(0x8101_8C00).unwrap_err().to_string();
    assert!(refusal.contains("0x14c"), "{refusal}");
}

#[test]
fn a_state_directory_that_cannot_be_created_is_an_error_that_names_it() {
    let error = SoftwareTpm::start_in(Path::new("/proc/no/such"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("/proc/no/such"), "{error}");
}

/// With this variable, `owner_to_be_killed` starts a TPM and waits until it is killed.
const OWNER: &str = "TESTBED_OWNER_TO_BE_KILLED";

#[test]
fn owner_to_be_killed() {
    if env::var_os(OWNER).is_some() {
        let tpm = SoftwareTpm::start().unwrap();
        println!("\nprocess {}", tpm.process_id().unwrap());
        std::io::stdin().lines().for_each(drop);
    }
}

#[test]
fn a_tpm_ends_when_its_owner_is_killed() {
    // The killed owner cannot remove its files, so this directory contains them.
    let directory = tempfile::tempdir().unwrap();
    let mut owner = Command::new(env::current_exe().unwrap())
        .args(["--exact", "owner_to_be_killed", "--nocapture"])
        .env(OWNER, "1")
        .env("TMPDIR", directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let process = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("process ")?.parse().ok());
    let process: u32 = process.unwrap();
    assert!(exists(process));
    owner.kill().unwrap();
    owner.wait().unwrap();

    let deadline = Instant::now() + Duration::from_secs(30);
    while exists(process) && !is_zombie(process) {
        assert!(Instant::now() < deadline, "process {process} still exists");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Returns true if a process has ended, reaped or not.
fn is_zombie(process_id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process_id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with('Z'))
}
