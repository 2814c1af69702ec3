//! The same identity after kills at random moments and concurrent runs.
//!
//! Short by default; `CAMPAIGN=full` (`./swtpm-test.sh --full`) runs all rounds.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::campaign::{self, Numbers, length};
use common::line::{Line, check_export, names_in};
use common::{Expect as _, NONCE, World};
use serde_json::json;

/// Resets a device whose identity is known: clears the TPM, and removes record and body.
fn reset(world: &World) {
    world.tpm.clear_by_platform().unwrap();
    let _ = fs::remove_file(world.record_file());
    world.device.set_config("registration.body", json!(null)).unwrap();
}

fn check_identity(world: &World, name: &str) {
    assert_eq!(world.name_at_handle(), name);
    assert_eq!(world.record()["name"], name);
    assert_eq!(world.tpm.persistent_handles().unwrap(), [common::HANDLE]);
    let mut files: Vec<_> = fs::read_dir(world.device.save_data())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["hardware-identity.json"]);
}

/// Kills the hook at a random moment. Returns true if that was before its end.
fn kill_at_random(world: &World, hook: &str, within: Duration, numbers: &mut Numbers) -> bool {
    campaign::kill_at_random(world.hook(hook), within, numbers)
}

#[test]
fn a_kill_at_any_moment_leaves_the_same_identity() {
    let world = World::prepared();
    let name = world.name_at_handle();
    let mut numbers = Numbers(2026);
    let start = Instant::now();
    reset(&world);
    world.prepare_device().succeeded();
    let whole_run = start.elapsed();
    let rounds = length(500, 30);
    let mut killed = 0;
    for round in 0..rounds {
        // Without a resource manager a killed run leaves its transient key in the TPM.
        world.tpm.resource_manager(round % 2 == 0);
        reset(&world);
        killed += u32::from(kill_at_random(
            &world,
            common::PREPARE_DEVICE,
            whole_run,
            &mut numbers,
        ));
        world.prepare_device().succeeded();
        check_identity(&world, &name);
    }
    println!("{killed} of {rounds} runs were killed before their end");
    assert!(
        killed > rounds / 4,
        "{killed} of {rounds}: the kills come too late to show anything"
    );
}

#[test]
fn a_kill_while_signing_leaves_a_whole_body_or_none() {
    let world = World::prepared();
    let name = world.name_at_handle();
    let mut numbers = Numbers(8);
    let start = Instant::now();
    world.prepare_serial_request().succeeded();
    let whole_run = start.elapsed();
    let rounds = length(500, 30);
    let mut killed = 0;
    for _ in 0..rounds {
        world.device.set_config("registration.body", json!(null)).unwrap();
        let hook = common::PREPARE_SERIAL_REQUEST;
        killed += u32::from(kill_at_random(&world, hook, whole_run, &mut numbers));
        if let Some(body) = world.body() {
            assert_eq!(body.as_object().unwrap().len(), 4, "{body}");
        }
        check_identity(&world, &name);
    }
    println!("{killed} of {rounds} runs were killed before their end");
    assert!(
        killed > rounds / 4,
        "{killed} of {rounds}: the kills come too late to show anything"
    );
    world.give_nonce(json!(NONCE));
    world.prepare_serial_request().succeeded();
}

#[test]
fn a_kill_on_a_factory_boot_leaves_a_whole_export_or_none() {
    let (line, file) = Line::to_file();
    let world = &line.world;
    let start = Instant::now();
    line.hook().run().unwrap().succeeded();
    let whole_run = start.elapsed();
    let name = world.name_at_handle();
    let mut numbers = Numbers(64);
    let rounds = length(500, 30);
    let mut killed = 0;
    for round in 0..rounds {
        // In every second round the key exists, so that more kills come during the export.
        if round % 2 == 0 {
            reset(world);
        }
        let _ = fs::remove_file(&file);
        line.shutdown();
        killed += u32::from(kill_at_random(
            world,
            common::INSTALL_DEVICE,
            whole_run,
            &mut numbers,
        ));
        if line.shutdown().is_some() || file.exists() {
            check_export(world, &fs::read_to_string(&file).unwrap());
        }
        line.hook().run().unwrap().succeeded();
        check_export(world, &fs::read_to_string(&file).unwrap());
        assert_eq!(line.shutdown().as_deref(), Some("poweroff"));
        assert_eq!(names_in(file.parent().unwrap()), ["copy", "export.json", "work"]);
        check_identity(world, &name);
    }
    println!("{killed} of {rounds} runs were killed before their end");
    assert!(
        killed > rounds / 4,
        "{killed} of {rounds}: the kills come too late to show anything"
    );
}

#[test]
fn two_concurrent_runs_make_one_identity() {
    let world = World::prepared();
    let name = world.name_at_handle();
    for _ in 0..length(100, 15) {
        reset(&world);
        let runs = [(); 2].map(|()| world.hook(common::PREPARE_DEVICE).spawn().unwrap());
        for run in runs {
            run.wait().unwrap().succeeded();
        }
        check_identity(&world, &name);
        world.prepare_serial_request().succeeded();
    }
}
