//! The number of TPM commands that a hook sends. `benches/hooks.rs` measures time, memory and size.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::line::Line;
use common::{Expect as _, World};
use testbed::Command::{CreatePrimary, EvictControl, FlushContext, ReadPublic, Sign};

fn commands(world: &World, run: impl Fn(&World)) -> BTreeMap<u32, u64> {
    world.tpm.reset_counts();
    run(world);
    world.tpm.counts()
}

fn counted<const N: usize>(commands: [(testbed::Command, u64); N]) -> BTreeMap<u32, u64> {
    commands
        .into_iter()
        .filter_map(|(command, count)| Some((command.code()?, count)))
        .collect()
}

#[test]
fn with_key_and_record_each_hook_sends_the_fewest_commands() {
    let world = World::prepared();
    let preparing = commands(&world, |world| world.prepare_device().succeeded());
    assert_eq!(preparing, counted([(ReadPublic, 1)]));
    let signing = commands(&world, |world| world.prepare_serial_request().succeeded());
    assert_eq!(signing, counted([(ReadPublic, 1), (Sign, 1)]));
    fs::remove_file(world.record_file()).unwrap();
    let signing = commands(&world, |world| world.prepare_serial_request().succeeded());
    assert_eq!(signing, counted([(ReadPublic, 2), (Sign, 1)]));
}

#[test]
fn install_device_sends_no_more_than_prepare_device() {
    let (line, _) = Line::to_file();
    let installing = commands(&line.world, |_| line.hook().run().unwrap().succeeded());
    let (other, _) = Line::to_file();
    let preparing = commands(&other.world, |world| world.prepare_device().succeeded());
    assert_eq!(installing, preparing);
    let again = commands(&line.world, |_| line.hook().run().unwrap().succeeded());
    assert_eq!(again, counted([(ReadPublic, 1)]));
}

#[test]
fn making_the_identity_derives_the_key_once() {
    let world = World::new();
    let making = commands(&world, |world| world.prepare_device().succeeded());
    assert_eq!(making[&CreatePrimary.code().unwrap()], 1);
    assert_eq!(making[&EvictControl.code().unwrap()], 1);
    assert_eq!(making[&FlushContext.code().unwrap()], 1);
}
