//! One identity after kills at random moments and concurrent runs, for the backends `software` and
//! `pkcs11`. `campaigns.rs` has those for the TPM.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::time::Instant;

use common::campaign::{Numbers, kill_at_random, length};
use common::line::names_in;
use common::token::TokenWorld;
use common::{Expect as _, PREPARE_DEVICE, World};
use testbed::HookCommand;

const KEY: &str = "hardware-identity-key.pem";
const RECORD: &str = "hardware-identity.json";

/// A device of one backend.
trait Backend {
    fn hook(&self) -> HookCommand<'_>;
    fn world(&self) -> &World;
    /// Removes the identity.
    fn reset(&self);
    /// What is known of the key without the record, `None` if there is no key.
    fn key(&self) -> Option<String>;
    fn files(&self) -> &[&str];
}

impl Backend for World {
    fn hook(&self) -> HookCommand<'_> {
        World::hook(self, PREPARE_DEVICE)
    }

    fn world(&self) -> &World {
        self
    }

    fn reset(&self) {
        for name in [KEY, RECORD] {
            let _ = fs::remove_file(self.device.save_data().join(name));
        }
    }

    fn key(&self) -> Option<String> {
        fs::read_to_string(self.device.save_data().join(KEY)).ok()
    }

    fn files(&self) -> &[&str] {
        &[KEY, RECORD]
    }
}

impl Backend for TokenWorld {
    fn hook(&self) -> HookCommand<'_> {
        TokenWorld::hook(self, PREPARE_DEVICE)
    }

    fn world(&self) -> &World {
        &self.world
    }

    fn reset(&self) {
        self.replace_token();
        for file in fs::read_dir(self.world.device.save_data()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    }

    fn key(&self) -> Option<String> {
        let keys = self.private_keys();
        assert!(keys.len() < 2, "{keys:?}");
        self.world.record_file().exists().then(|| keys[0].clone())
    }

    fn files(&self) -> &[&str] {
        &[RECORD]
    }
}

fn kills(device: &dyn Backend, most: u32, few: u32) {
    let start = Instant::now();
    device.hook().run().unwrap().succeeded();
    let whole_run = start.elapsed();
    let mut numbers = Numbers(2026);
    let rounds = length(most, few);
    let mut killed = 0;
    for _ in 0..rounds {
        device.reset();
        killed += u32::from(kill_at_random(device.hook(), whole_run, &mut numbers));
        wait_for_lock(device.world());
        let left = device.key();
        device.hook().run().unwrap().succeeded();
        check_identity(device);
        assert!(left.is_none() || left == device.key(), "the key has changed");
    }
    println!("{killed} of {rounds} runs were killed before their end");
    assert!(killed > 0, "the kills come too late to show anything");
}

/// Waits for the process of a module, which ends what it does. If pkcs11-tool logs in meanwhile,
/// SoftHSM can fail in the middle of a key and leave an object without label and id.
fn wait_for_lock(world: &World) {
    let new = world.device.save_data().join(".hardware-identity.json.new");
    if let Ok(file) = File::open(new) {
        file.lock().unwrap();
    }
}

fn check_identity(device: &dyn Backend) {
    assert_eq!(names_in(&device.world().device.save_data()), device.files());
    let record = device.world().record();
    let key = device.key().unwrap();
    if let Some(id) = record["key-id"].as_str() {
        assert!(key.contains(id), "{key}");
    }
    device.hook().run().unwrap().succeeded();
    assert_eq!(device.world().record(), record);
}

fn races(device: &dyn Backend, most: u32, few: u32) {
    for _ in 0..length(most, few) {
        device.reset();
        let runs = [(); 3].map(|()| device.hook().spawn().unwrap());
        for run in runs {
            run.wait().unwrap().succeeded();
        }
        check_identity(device);
    }
}

#[test]
fn a_kill_leaves_one_key_in_a_file() {
    kills(&World::with_backend("software", ""), 500, 30);
}

#[test]
fn concurrent_runs_make_one_key_in_a_file() {
    races(&World::with_backend("software", ""), 100, 10);
}

#[test]
fn a_kill_leaves_one_key_in_a_token() {
    kills(&TokenWorld::softhsm(""), 500, 15);
}

#[test]
fn concurrent_runs_make_one_key_in_a_token() {
    races(&TokenWorld::softhsm(""), 100, 5);
}
