//! TPM failures: each has its own code, or is retried, and leaves nothing incomplete.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use common::{Expect as _, HANDLE, HOOKS, NONCE, PREPARE_DEVICE, PREPARE_SERIAL_REQUEST, World};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use testbed::{Command, Device, Fault, Gate, Hierarchy, TestTpm, When};

/// For waits that end at once if the test passes.
const LIMIT: Duration = Duration::from_secs(60);

/// Both hooks of a device without an identity fail with `code` if the variable TCTI is `tcti`.
fn refused_at(tcti: &str, code: &str, values: &[&str]) {
    let world = World::unprepared();
    world.set_option("tpm-wait", json!(0));
    for executable in HOOKS {
        world.refused(
            world.unprivileged_hook(executable).env("TCTI", tcti),
            code,
            values,
        );
    }
}

#[test]
fn a_missing_node_is_an_error() {
    refused_at("device:/nonexistent/tpm", "tpm-missing", &["/nonexistent/tpm"]);
}

#[test]
fn a_node_that_may_not_be_opened_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let node = directory.path().join("tpm");
    fs::write(&node, "").unwrap();
    fs::set_permissions(&node, Permissions::from_mode(0o000)).unwrap();
    let node = node.to_str().unwrap();
    refused_at(&format!("device:{node}"), "tpm-permission-denied", &[node]);
}

#[test]
fn a_node_in_use_is_an_error() {
    // A terminal in exclusive mode answers like a TPM that another program has open: EBUSY, unless
    // root opens it.
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let node = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let flags = OpenptFlags::NOCTTY.bits().cast_signed();
    let terminal = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(&node)
        .unwrap();
    rustix::termios::ioctl_tiocexcl(&terminal).unwrap();
    refused_at(&format!("device:{node}"), "tpm-in-use", &[&node]);
}

#[test]
fn a_node_that_is_not_a_tpm_is_an_error() {
    refused_at("device:/dev/null", "tpm-node-not-a-tpm", &["/dev/null"]);
}

#[test]
fn a_missing_tcti_library_is_an_error() {
    let world = World::unprepared();
    let directory = tempfile::tempdir().unwrap();
    // The loader stops at the first file of a name, even if it is not a library.
    for name in ["libtss2-tcti-mssim.so.0", "libtss2-tcti-mssim.so"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    for executable in HOOKS {
        let hook = world.hook(executable).env("LD_LIBRARY_PATH", directory.path());
        world.refused(hook, "tcti-library-missing", &["libtss2-tcti-mssim.so.0"]);
    }
}

#[test]
fn a_tpm_that_refuses_connections_is_an_error() {
    let world = World::unprepared();
    world.tpm.refuse_connections(true);
    world.set_option("tpm-wait", json!(1));
    world.both_refused("tpm-no-answer", &[&world.tpm.tcti()]);
}

#[test]
fn a_tpm_that_starts_late_is_retried() {
    for executable in HOOKS {
        let world = World::prepared();
        world.tpm.refuse_connections(true);
        let hook = world.hook(executable).spawn().unwrap();
        world.tpm.wait_for_refused(1, LIMIT).unwrap();
        world.tpm.refuse_connections(false);
        hook.wait().unwrap().succeeded();
    }
}

#[test]
fn a_disabled_hierarchy_is_an_error() {
    for (hierarchy, name) in [
        (Hierarchy::Endorsement, "endorsement"),
        (Hierarchy::Owner, "owner"),
    ] {
        for world in [World::unprepared(), World::prepared()] {
            world.tpm.disable_hierarchy(hierarchy).unwrap();
            world.both_refused("tpm-hierarchy-disabled", &[name]);
            // A restart enables it again.
            world.tpm.restart().unwrap();
            world.both_work();
        }
    }
}

#[test]
fn a_hierarchy_that_is_disabled_during_a_run_is_an_error() {
    for (command, name) in [
        (Command::CreatePrimary, "endorsement"),
        (Command::EvictControl, "owner"),
    ] {
        let world = World::unprepared();
        world.tpm.fail(command, When::Always, Fault::Respond(0x185));
        world.refused(world.hook(PREPARE_DEVICE), "tpm-hierarchy-disabled", &[name]);
    }
}

type SetAuth = fn(&TestTpm);

const AUTHORISATIONS: [(SetAuth, &str); 2] = [
    (|tpm| tpm.set_endorsement_auth("secret").unwrap(), "endorsement"),
    (|tpm| tpm.set_owner_auth("secret").unwrap(), "owner"),
];

#[test]
fn an_authorisation_prevents_a_new_identity() {
    for (set_auth, name) in AUTHORISATIONS {
        let world = World::unprepared();
        set_auth(&world.tpm);
        world.refused(world.hook(PREPARE_DEVICE), "tpm-authorisation-set", &[name]);
        world.refused(world.hook(PREPARE_SERIAL_REQUEST), "identity-missing", &[]);
    }
}

#[test]
fn an_authorisation_does_not_affect_a_persistent_key() {
    for (set_auth, _) in AUTHORISATIONS {
        let world = World::prepared();
        let name = world.name_at_handle();
        set_auth(&world.tpm);
        world.both_work();
        fs::remove_file(world.record_file()).unwrap();
        world.prepare_serial_request().succeeded();
        world.both_work();
        assert_eq!(world.record()["name"], name);
    }
}

#[test]
fn an_endorsement_authorisation_prevents_a_derivation() {
    let world = World::prepared();
    evict(&world);
    world.tpm.set_endorsement_auth("secret").unwrap();
    world.both_refused("tpm-authorisation-set", &["endorsement"]);
}

#[test]
fn an_owner_authorisation_does_not_prevent_a_signature() {
    let world = World::prepared();
    evict(&world);
    world.tpm.set_owner_auth("secret").unwrap();
    world.refused(world.hook(PREPARE_DEVICE), "tpm-authorisation-set", &["owner"]);
    world.prepare_serial_request().succeeded();
}

/// Empties the persistent handle of the identity.
fn evict(world: &World) {
    world
        .tpm
        .tpm2(&["tpm2_evictcontrol", "-C", "o", "-c", "0x81018C00"])
        .unwrap();
}

fn another_kind_of_key(world: &World) {
    world.tpm.persist_foreign_key(HANDLE).unwrap();
}

/// A key of another program, in the same hierarchy and with the same attributes.
fn a_similar_key(world: &World) {
    let directory = tempfile::tempdir().unwrap();
    let context = directory.path().join("context");
    let context = context.to_str().unwrap();
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign";
    let algorithm = [
        "-C",
        "e",
        "-g",
        "sha256",
        "-G",
        "ecc256:ecdsa-sha256",
        "-a",
        attributes,
    ];
    let create = [&["tpm2_createprimary"], &algorithm[..], &["-c", context]].concat();
    world.tpm.tpm2(&create).unwrap();
    world
        .tpm
        .tpm2(&["tpm2_evictcontrol", "-C", "o", "-c", context, "0x81018C00"])
        .unwrap();
}

const HMAC_ATTRIBUTES: &str = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign";

/// A symmetric key.
fn an_hmac_key(world: &World) {
    let directory = tempfile::tempdir().unwrap();
    let context = directory.path().join("context");
    let context = context.to_str().unwrap();
    world
        .tpm
        .tpm2(&[
            "tpm2_createprimary",
            "-C",
            "o",
            "-G",
            "hmac",
            "-a",
            HMAC_ATTRIBUTES,
            "-c",
            context,
        ])
        .unwrap();
    world
        .tpm
        .tpm2(&["tpm2_evictcontrol", "-C", "o", "-c", context, "0x81018C00"])
        .unwrap();
}

/// Another program's key at the handle stays there, and the setting `handle` moves the identity's
/// key.
fn handle_in_use(put_foreign_key: fn(&World), with_record: bool, hooks: &[&str]) {
    let world = match with_record {
        true => World::prepared(),
        false => World::unprepared(),
    };
    if with_record {
        evict(&world);
    }
    put_foreign_key(&world);
    let foreign = world.name_at_handle();
    for executable in hooks {
        let hook = world.hook(executable);
        world.refused(hook, "tpm-handle-in-use", &["0x81018C00", "0x81018C01"]);
    }
    assert_eq!(world.name_at_handle(), foreign);

    world.set_option("handle", json!("0x81018C01"));
    world.both_work();
    assert_eq!(world.name_at_handle(), foreign);
    assert_eq!(world.tpm.persistent_handles().unwrap(), [HANDLE, HANDLE + 1]);
    let moved = world.tpm.tpm2(&["tpm2_readpublic", "-c", "0x81018C01"]).unwrap();
    assert!(
        moved.contains(world.record()["name"].as_str().unwrap()),
        "{moved}"
    );
}

#[test]
fn another_kind_of_key_keeps_its_handle() {
    handle_in_use(another_kind_of_key, false, &HOOKS);
    handle_in_use(another_kind_of_key, true, &HOOKS);
    handle_in_use(an_hmac_key, false, &HOOKS);
    handle_in_use(an_hmac_key, true, &HOOKS);
}

#[test]
fn a_similar_key_keeps_its_handle() {
    // Without a record, only a derivation shows the difference. prepare-device derives the key, and
    // snapd runs it first.
    handle_in_use(a_similar_key, false, &[PREPARE_DEVICE]);
    handle_in_use(a_similar_key, true, &HOOKS);
}

#[test]
fn a_key_that_gets_the_handle_during_a_run_keeps_it() {
    let world = World::unprepared();
    let gate = Gate::new();
    world
        .tpm
        .fail(Command::EvictControl, When::Nth(1), Fault::Hold(gate.clone()));
    let hook = world.hook(PREPARE_DEVICE).spawn().unwrap();
    gate.wait_for(1, LIMIT).unwrap();
    another_kind_of_key(&world);
    let foreign = world.name_at_handle();
    gate.release();
    hook.wait().unwrap().failed("tpm-handle-in-use", &["0x81018C00"]);
    assert_eq!(world.name_at_handle(), foreign);
    assert!(!world.record_file().exists());
}

#[test]
fn without_space_the_key_is_derived_each_time() {
    let world = World::unprepared();
    world.tpm.fill_nv_persistent().unwrap();
    for _ in 0..2 {
        world.prepare_device().warned(&["tpm-storage-full"]);
        world.prepare_serial_request().succeeded();
    }
    let shown: Value = serde_json::from_slice(&world.tool(&["show", "--json"]).stdout).unwrap();
    assert_eq!(shown["persistent"], false);

    // With space it is the same identity.
    world
        .tpm
        .tpm2(&["tpm2_evictcontrol", "-C", "o", "-c", "0x81008000"])
        .unwrap();
    world.prepare_device().succeeded();
    assert_eq!(world.name_at_handle(), world.record()["name"]);
}

#[test]
fn an_unsupported_algorithm_is_an_error_that_lists_the_others() {
    // TPM_RC_VALUE, TPM_RC_HASH and TPM_RC_CURVE of the second parameter.
    for response in [0x2C4, 0x2C3, 0x2E6] {
        let world = World::unprepared();
        world
            .tpm
            .fail(Command::CreatePrimary, When::Always, Fault::Respond(response));
        // It does not support the first of the other three either.
        world
            .tpm
            .fail(Command::TestParms, When::Nth(1), Fault::Respond(response));
        let code = "tpm-algorithm-unsupported";
        world.refused(
            world.hook(PREPARE_DEVICE),
            code,
            &["ecdsa-p256", "rsa-2048, rsa-3072"],
        );
        world
            .tpm
            .fail(Command::TestParms, When::Always, Fault::Respond(response));
        world.refused(world.hook(PREPARE_DEVICE), code, &[]);
    }
}

#[test]
fn a_dictionary_attack_lockout_does_not_affect_the_identity() {
    for world in [World::unprepared(), World::prepared()] {
        let tpm = &world.tpm;
        tpm.tpm2(&[
            "tpm2_dictionarylockout",
            "-s",
            "-n",
            "1",
            "-t",
            "1000",
            "-l",
            "1000",
        ])
        .unwrap();
        tpm.tpm2(&[
            "tpm2_nvdefine",
            "0x1500016",
            "-s",
            "8",
            "-a",
            "authread|authwrite",
            "-p",
            "secret",
        ])
        .unwrap();
        let read = |password| tpm.tpm2(&["tpm2_nvread", "0x1500016", "-C", "0x1500016", "-P", password]);
        read("wrong").unwrap_err();
        let locked_out = read("secret").unwrap_err().to_string();
        assert!(locked_out.contains("0x921"), "{locked_out}");
        world.both_work();
    }
}

/// Transient errors, and how often a test gives each. ESYS itself sends a command five times before
/// it reports one of the first three.
const TRANSIENT: [(u32, u64); 8] = [
    (0x922, 7), // RETRY
    (0x90A, 7), // TESTING
    (0x908, 7), // YIELDED
    (0x920, 2), // NV_RATE
    (0x923, 2), // NV_UNAVAILABLE
    (0x902, 2), // OBJECT_MEMORY
    (0x903, 2), // SESSION_MEMORY
    (0x901, 2), // CONTEXT_GAP
];

/// The commands that make and use an identity, each with its name and the hook that sends it on a
/// TPM without a persistent key.
const COMMANDS: [(Command, &str, &str); 4] = [
    (Command::ReadPublic, "TPM2_ReadPublic", PREPARE_DEVICE),
    (Command::CreatePrimary, "TPM2_CreatePrimary", PREPARE_DEVICE),
    (Command::EvictControl, "TPM2_EvictControl", PREPARE_DEVICE),
    (Command::Sign, "TPM2_Sign", PREPARE_SERIAL_REQUEST),
];

/// An identity is made and signs although each command in turn meets `fault` the first `times`.
fn each_command_works_despite(times: u64, fault: &Fault) {
    for (command, _, executable) in COMMANDS {
        let world = World::unprepared();
        if executable == PREPARE_SERIAL_REQUEST {
            world.prepare_device().succeeded();
        }
        world.tpm.reset_counts();
        world.tpm.fail(command, When::Next(times), fault.clone());
        world.hook(executable).run().unwrap().succeeded();
        let sent = world.tpm.counts()[&command.code().unwrap()];
        assert!(sent >= times, "{command:?} was sent {sent} times only");
        assert_eq!(world.body().is_some(), executable == PREPARE_SERIAL_REQUEST);
        assert_eq!(world.name_at_handle(), world.record()["name"]);
        assert_eq!(
            world.name_at_handle(),
            undisturbed_name(&world),
            "{command:?}, {fault:?}"
        );
    }
}

/// The Name of the identity that this TPM makes for a new device, without faults.
fn undisturbed_name(world: &World) -> Value {
    world.tpm.clear_faults();
    world.tpm.clear_by_platform().unwrap();
    let device = Device::new().unwrap();
    let hook = device
        .hook(Path::new(PREPARE_DEVICE))
        .env("TCTI", world.tpm.tcti());
    hook.run().unwrap().succeeded();
    let record = fs::read(device.save_data().join("hardware-identity.json")).unwrap();
    serde_json::from_slice::<Value>(&record).unwrap()["name"].take()
}

#[test]
fn transient_errors_that_esys_retries_are_retried() {
    for (code, times) in &TRANSIENT[..3] {
        each_command_works_despite(*times, &Fault::Respond(*code));
    }
}

#[test]
fn transient_errors_that_esys_does_not_retry_are_retried() {
    for (code, times) in &TRANSIENT[3..] {
        each_command_works_despite(*times, &Fault::Respond(*code));
    }
}

/// A device on which `executable` sends its command of [`COMMANDS`], without a retry budget.
fn without_retries(executable: &str) -> World {
    let world = World::unprepared();
    if executable == PREPARE_SERIAL_REQUEST {
        world.prepare_device().succeeded();
    }
    world.set_option("tpm-wait", json!(0));
    world
}

#[test]
fn a_transient_error_that_lasts_is_an_error() {
    for (command, name, executable) in COMMANDS {
        let world = without_retries(executable);
        for (code, _) in TRANSIENT {
            world.tpm.clear_faults();
            world.tpm.fail(command, When::Always, Fault::Respond(code));
            let response = format!("({code:#x})");
            world.refused(world.hook(executable), "tpm-busy", &[name, &response, "0 s"]);
        }
    }
}

#[test]
fn a_connection_that_is_cut_once_is_opened_again() {
    for fault in [Fault::Cut, Fault::CutAfter] {
        each_command_works_despite(1, &fault);
    }
}

#[test]
fn a_connection_that_is_always_cut_is_an_error() {
    for (command, name, executable) in COMMANDS {
        let world = without_retries(executable);
        world.set_option("tpm-wait", json!(1));
        world.tpm.fail(command, When::Always, Fault::Cut);
        world.refused(world.hook(executable), "tpm-connection-lost", &[name]);
    }
}

#[test]
fn another_error_of_the_tpm_is_reported_with_its_response_code() {
    for (command, name, executable) in COMMANDS {
        let world = without_retries(executable);
        world.tpm.fail(command, When::Always, Fault::Respond(0x101));
        world.refused(world.hook(executable), "tpm-command-failed", &[name, "(0x101)"]);
    }
}

/// Kills prepare-device after TPM2_CreatePrimary, on a TPM without a resource manager, until no
/// transient slot is free.
fn leave_keys_behind(world: &World) {
    let slots = 3 - world.tpm.transient_handles().unwrap().len();
    for _ in 0..slots {
        let gate = Gate::new();
        world.tpm.fail(
            Command::CreatePrimary,
            When::Nth(1),
            Fault::HoldAfter(gate.clone()),
        );
        let mut hook = world.hook(PREPARE_DEVICE).spawn().unwrap();
        gate.wait_for(1, LIMIT).unwrap();
        hook.kill();
        drop(hook);
        world.tpm.clear_faults();
        world.tpm.wait_until_unused(LIMIT).unwrap();
    }
    assert_eq!(world.tpm.transient_handles().unwrap().len(), 3);
}

#[test]
fn keys_that_killed_runs_left_are_flushed() {
    let world = World::unprepared();
    world.tpm.resource_manager(false);
    leave_keys_behind(&world);
    world.both_work();
}

#[test]
fn keys_that_killed_runs_left_do_not_hide_a_persistent_key() {
    let world = World::prepared();
    let name = world.name_at_handle();
    fs::remove_file(world.record_file()).unwrap();
    world.tpm.resource_manager(false);
    leave_keys_behind(&world);
    world.prepare_serial_request().succeeded();
    world.prepare_device().succeeded();
    assert_eq!(world.record()["name"], name);
}

#[test]
fn keys_of_other_programs_are_not_flushed() {
    let world = World::unprepared();
    world.tpm.resource_manager(false);
    let directory = tempfile::tempdir().unwrap();
    let context = directory.path().join("context");
    world
        .tpm
        .tpm2(&["tpm2_createprimary", "-C", "o", "-c", context.to_str().unwrap()])
        .unwrap();
    world.tpm.wait_until_unused(LIMIT).unwrap();
    let [foreign] = world.tpm.transient_handles().unwrap()[..] else {
        panic!("tpm2_createprimary left its key in the TPM")
    };
    let name = |handle: u32| {
        let shown = world
            .tpm
            .tpm2(&["tpm2_readpublic", "-c", &format!("{handle:#x}")])
            .unwrap();
        shown
            .lines()
            .find(|line| line.starts_with("name:"))
            .unwrap()
            .to_owned()
    };
    let before = name(foreign);
    leave_keys_behind(&world);
    world.both_work();
    assert_eq!(name(foreign), before);
}

#[test]
fn two_concurrent_runs_make_one_identity() {
    let world = World::unprepared();
    let gate = Gate::new();
    world
        .tpm
        .fail(Command::EvictControl, When::Always, Fault::Hold(gate.clone()));
    let hooks = [(); 2].map(|()| world.hook(PREPARE_DEVICE).spawn().unwrap());
    gate.wait_for(2, LIMIT).unwrap();
    gate.release();
    for hook in hooks {
        hook.wait().unwrap().succeeded();
    }
    assert_eq!(world.tpm.persistent_handles().unwrap(), [HANDLE]);
    assert_eq!(world.name_at_handle(), world.record()["name"]);
    world.give_nonce(json!(NONCE));
    world.prepare_serial_request().succeeded();
}
