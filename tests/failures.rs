//! What goes wrong with a TPM: each case has its own message, or is waited out, and nothing is left
//! half-done.

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

/// For what happens at once; a test that waits this long has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// Both hooks of a device without identity are refused with all `parts` where the variable TCTI is `tcti`.
fn refused_at(tcti: &str, parts: &[&str]) {
    let world = World::unprepared();
    world.set_option("tpm-wait", json!(0));
    for executable in HOOKS {
        world.refused(world.unprivileged_hook(executable).env("TCTI", tcti), parts);
    }
}

#[test]
fn a_missing_node_is_named() {
    refused_at(
        "device:/nonexistent/tpm",
        &[
            "there is no TPM: /nonexistent/tpm does not exist",
            "Switch the TPM on",
            "setting `tcti`",
        ],
    );
}

#[test]
fn a_node_that_may_not_be_opened_names_the_plug() {
    let folder = tempfile::tempdir().unwrap();
    let node = folder.path().join("tpm");
    fs::write(&node, "").unwrap();
    fs::set_permissions(&node, Permissions::from_mode(0o000)).unwrap();
    let node = node.display();
    refused_at(
        &format!("device:{node}"),
        &[
            &format!("the TPM at {node} may not be opened: permission denied"),
            "snap connect GADGET:tpm",
        ],
    );
}

#[test]
fn a_busy_node_is_told_from_a_missing_one() {
    // A terminal in exclusive mode answers as a TPM that someone else holds open: EBUSY, unless root asks.
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
    refused_at(
        &format!("device:{node}"),
        &[
            &format!("the TPM at {node} is in use by another program"),
            "Use /dev/tpmrm0",
            "fuser",
        ],
    );
}

#[test]
fn a_node_that_is_no_tpm_is_an_error() {
    refused_at(
        "device:/dev/null",
        &[
            "the device /dev/null does not answer as a TPM does",
            "setting `tcti`",
        ],
    );
}

#[test]
fn a_missing_tcti_library_is_named() {
    let world = World::unprepared();
    let folder = tempfile::tempdir().unwrap();
    // The loader stops at the first library of a name, also where it is none.
    for name in ["libtss2-tcti-mssim.so.0", "libtss2-tcti-mssim.so"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    for executable in HOOKS {
        let hook = world.hook(executable).env("LD_LIBRARY_PATH", folder.path());
        world.refused(
            hook,
            &[
                "the library libtss2-tcti-mssim.so.0",
                "was not found",
                "Stage the package",
            ],
        );
    }
}

#[test]
fn a_tpm_that_refuses_connections_is_an_error() {
    let world = World::unprepared();
    world.tpm.refuse_connections(true);
    world.set_option("tpm-wait", json!(1));
    let parts = [
        &format!("no TPM answers at {}", world.tpm.tcti()),
        "Start it",
        "setting `tcti`",
    ];
    world.both_refused(&parts);
}

#[test]
fn a_tpm_that_starts_late_is_waited_for() {
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
fn a_disabled_hierarchy_is_told_from_an_empty_handle() {
    for (hierarchy, name) in [
        (Hierarchy::Endorsement, "the endorsement hierarchy"),
        (Hierarchy::Owner, "the owner (storage) hierarchy"),
    ] {
        for world in [World::unprepared(), World::prepared()] {
            world.tpm.disable_hierarchy(hierarchy).unwrap();
            world.both_refused(&[
                name,
                "of the TPM is disabled",
                "firmware settings",
                "power the device off",
            ]);
            // What a restart enables again is all there.
            world.tpm.restart().unwrap();
            world.both_work();
        }
    }
}

#[test]
fn a_hierarchy_that_is_disabled_during_a_run_is_named() {
    for (command, name) in [
        (Command::CreatePrimary, "the endorsement hierarchy"),
        (Command::EvictControl, "the owner (storage) hierarchy"),
    ] {
        let world = World::unprepared();
        world.tpm.fail(command, When::Always, Fault::Respond(0x185));
        world.refused(world.hook(PREPARE_DEVICE), &[name, "firmware settings"]);
    }
}

type SetAuth = fn(&TestTpm, &str) -> anyhow::Result<()>;

const AUTHORISATIONS: [(SetAuth, &str); 2] = [
    (TestTpm::set_endorsement_auth, "the endorsement hierarchy"),
    (TestTpm::set_owner_auth, "the owner (storage) hierarchy"),
];

#[test]
fn an_authorisation_that_stops_a_new_identity_is_named() {
    for (set_auth, name) in AUTHORISATIONS {
        let world = World::unprepared();
        set_auth(&world.tpm, "secret").unwrap();
        let parts = [
            name,
            "has an authorisation value that someone set",
            "`tpm2_changeauth`",
        ];
        world.refused(world.hook(PREPARE_DEVICE), &parts);
        world.refused(
            world.hook(PREPARE_SERIAL_REQUEST),
            &["no hardware identity yet", "Run prepare-device"],
        );
    }
}

#[test]
fn an_authorisation_does_not_concern_a_persistent_key() {
    for (set_auth, _) in AUTHORISATIONS {
        let world = World::prepared();
        let name = world.name_at_handle();
        set_auth(&world.tpm, "secret").unwrap();
        world.both_work();
        fs::remove_file(world.record_file()).unwrap();
        world.prepare_serial_request().succeeded();
        world.both_work();
        assert_eq!(world.record()["name"], name);
    }
}

#[test]
fn an_endorsement_authorisation_stops_a_key_that_has_to_be_derived() {
    let world = World::prepared();
    evict(&world);
    world.tpm.set_endorsement_auth("secret").unwrap();
    world.both_refused(&["the endorsement hierarchy", "`tpm2_changeauth`"]);
}

#[test]
fn an_owner_authorisation_does_not_stop_a_signature() {
    let world = World::prepared();
    evict(&world);
    world.tpm.set_owner_auth("secret").unwrap();
    world.refused(
        world.hook(PREPARE_DEVICE),
        &["the owner (storage) hierarchy", "`tpm2_changeauth`"],
    );
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

/// A key of the same hierarchy with the same attributes, made for someone else.
fn a_look_alike(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let context = folder.path().join("context");
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

/// A key that is not even an asymmetric one.
fn an_hmac_key(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let context = folder.path().join("context");
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

/// A key of someone else at the handle is left alone, and the setting `handle` moves ours away from it.
fn slot_taken(put_foreign_key: fn(&World), with_record: bool, hooks: &[&str]) {
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
        world.refused(
            hook,
            &[
                "handle 0x81018C00 holds a key that is not",
                "setting `handle`",
                "0x81018C01",
            ],
        );
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
    slot_taken(another_kind_of_key, false, &HOOKS);
    slot_taken(another_kind_of_key, true, &HOOKS);
    slot_taken(an_hmac_key, false, &HOOKS);
    slot_taken(an_hmac_key, true, &HOOKS);
}

#[test]
fn a_look_alike_keeps_its_handle() {
    // Without a record only deriving tells them apart. prepare-device does, and snapd runs it first.
    slot_taken(a_look_alike, false, &[PREPARE_DEVICE]);
    slot_taken(a_look_alike, true, &HOOKS);
}

#[test]
fn a_key_put_there_during_a_run_keeps_its_handle() {
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
    hook.wait()
        .unwrap()
        .failed(&["handle 0x81018C00 holds a key", "setting `handle`"]);
    assert_eq!(world.name_at_handle(), foreign);
    assert!(!world.record_file().exists());
}

#[test]
fn without_room_the_key_is_derived_each_time() {
    let world = World::unprepared();
    world.tpm.fill_nv_persistent().unwrap();
    for _ in 0..2 {
        let outcome = world.prepare_device();
        assert!(outcome.status.success(), "{}", outcome.merged);
        assert_eq!(outcome.merged.lines().count(), 1, "{}", outcome.merged);
        for part in ["warning: the TPM has no room", "tpm2_getcap handles-persistent"] {
            assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
        }
        world.prepare_serial_request().succeeded();
    }
    let shown = String::from_utf8(world.tool(&["show", "--check"]).stdout).unwrap();
    assert!(
        shown.contains("empty: the key is derived anew each time"),
        "{shown}"
    );
    let shown: Value = serde_json::from_slice(&world.tool(&["show", "--json"]).stdout).unwrap();
    assert_eq!(shown["persistent"], false);

    // With room it is the same identity.
    world
        .tpm
        .tpm2(&["tpm2_evictcontrol", "-C", "o", "-c", "0x81008000"])
        .unwrap();
    world.prepare_device().succeeded();
    assert_eq!(world.name_at_handle(), world.record()["name"]);
}

#[test]
fn an_algorithm_that_the_tpm_lacks_is_told_with_those_it_has() {
    // TPM_RC_VALUE, TPM_RC_HASH and TPM_RC_CURVE of the second parameter.
    for code in [0x2C4, 0x2C3, 0x2E6] {
        let world = World::unprepared();
        world
            .tpm
            .fail(Command::CreatePrimary, When::Always, Fault::Respond(code));
        // Of the other three it is asked for in turn, it lacks the first.
        world
            .tpm
            .fail(Command::TestParms, When::Nth(1), Fault::Respond(code));
        world.refused(
            world.hook(PREPARE_DEVICE),
            &[
                "does not support ecdsa-p256; it supports rsa-2048, rsa-3072.",
                "setting `algorithm`",
            ],
        );
        world
            .tpm
            .fail(Command::TestParms, When::Always, Fault::Respond(code));
        world.refused(world.hook(PREPARE_DEVICE), &["it supports none of the others"]);
    }
}

#[test]
fn a_dictionary_attack_lockout_does_not_concern_the_identity() {
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

/// Answers that pass by themselves. ESYS sends a command five times itself before it passes on the first
/// three.
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

/// The commands that make and use an identity, each with its name and the hook that sends it on a TPM without
/// a persistent key.
const COMMANDS: [(Command, &str, &str); 4] = [
    (Command::ReadPublic, "TPM2_ReadPublic", PREPARE_DEVICE),
    (Command::CreatePrimary, "TPM2_CreatePrimary", PREPARE_DEVICE),
    (Command::EvictControl, "TPM2_EvictControl", PREPARE_DEVICE),
    (Command::Sign, "TPM2_Sign", PREPARE_SERIAL_REQUEST),
];

/// A new identity comes about and signs, where each command in turn meets `fault` the first `times`.
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

/// The Name of the identity that this TPM makes for a device without a past, with no fault in the way.
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
fn transient_answers_that_the_tss_repeats_are_waited_out() {
    for (code, times) in &TRANSIENT[..3] {
        each_command_works_despite(*times, &Fault::Respond(*code));
    }
}

#[test]
fn transient_answers_that_nobody_repeats_are_waited_out() {
    for (code, times) in &TRANSIENT[3..] {
        each_command_works_despite(*times, &Fault::Respond(*code));
    }
}

/// A device on which `executable` comes to send each of the four commands, and waits for nothing.
fn impatient(executable: &str) -> World {
    let world = World::unprepared();
    if executable == PREPARE_SERIAL_REQUEST {
        world.prepare_device().succeeded();
    }
    world.set_option("tpm-wait", json!(0));
    world
}

#[test]
fn a_transient_answer_that_stays_is_an_error() {
    for (command, name, executable) in COMMANDS {
        let world = impatient(executable);
        for (code, _) in TRANSIENT {
            world.tpm.clear_faults();
            world.tpm.fail(command, When::Always, Fault::Respond(code));
            let parts = [
                &format!("still answered {name} with"),
                &format!("({code:#x})"),
                "after 0 s",
                "`tpm-wait`",
            ];
            let parts: Vec<&str> = parts.iter().map(|part| part.as_ref()).collect();
            world.refused(world.hook(executable), &parts);
        }
    }
}

#[test]
fn a_connection_that_is_cut_once_is_made_anew() {
    for fault in [Fault::Cut, Fault::CutAfter] {
        each_command_works_despite(1, &fault);
    }
}

#[test]
fn a_connection_that_is_always_cut_is_an_error() {
    for (command, name, executable) in COMMANDS {
        let world = impatient(executable);
        world.set_option("tpm-wait", json!(1));
        world.tpm.fail(command, When::Always, Fault::Cut);
        let part = format!("the connection to the TPM broke during {name}");
        world.refused(world.hook(executable), &[&part, "journalctl -k"]);
    }
}

#[test]
fn an_unknown_refusal_is_told_with_its_code() {
    for (command, name, executable) in COMMANDS {
        let world = impatient(executable);
        world.tpm.fail(command, When::Always, Fault::Respond(0x101));
        world.refused(
            world.hook(executable),
            &[&format!("the TPM refused {name}: "), "(0x101)", "report"],
        );
    }
}

/// Kills prepare-device after each TPM2_CreatePrimary, on a TPM where nobody tidies up, until no slot is
/// free.
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
fn leftovers_of_killed_runs_are_flushed() {
    let world = World::unprepared();
    world.tpm.resource_manager(false);
    leave_keys_behind(&world);
    world.both_work();
}

#[test]
fn leftovers_do_not_hide_a_persistent_key() {
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
fn only_our_own_leftovers_are_flushed() {
    let world = World::unprepared();
    world.tpm.resource_manager(false);
    let folder = tempfile::tempdir().unwrap();
    let context = folder.path().join("context");
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
fn two_runs_at_a_time_make_one_identity() {
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
