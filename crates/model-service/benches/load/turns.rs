//! Turns of several pieces of work, one right after the other, so that their ratios are meaningful
//! on a machine that others use too.

use std::env;
use std::thread;
use std::time::Duration;

use crate::clock::{Measured, measured};

/// The most load by others with which a turn counts; threads of the kernel use up to half of it.
const OTHERS: f64 = 0.03;
/// Turns that may be discarded for each that counts.
const PATIENCE: usize = 30;
/// How long others must be idle before a turn, and how often to wait for that.
const MOMENT: Duration = Duration::from_millis(300);
const MOMENTS: usize = 200;

/// Runs turns until this number was undisturbed, and returns the pieces of each of them.
pub fn run(wanted: usize, mut turn: impl FnMut() -> Vec<Measured>) -> Vec<Vec<Measured>> {
    // The first one warms up.
    turn();
    let mut kept = Vec::new();
    let mut given_up = 0;
    let busy = is_busy();
    while kept.len() < wanted {
        let pieces = turn();
        let quiet = pieces.iter().all(|piece| piece.others < OTHERS);
        if quiet || busy || given_up >= PATIENCE * wanted {
            kept.push(pieces);
        } else {
            given_up += 1;
        }
    }
    let most = kept
        .iter()
        .flatten()
        .map(|piece| piece.others)
        .fold(0.0, f64::max);
    println!(
        "{wanted} turns, {given_up} others given up as other programs were at work; in those that count, these used up to {:.1} % of the cores",
        100.0 * most
    );
    kept
}

/// Returns true if turns count in which other programs ran.
fn is_busy() -> bool {
    env::var_os("BUSY").is_some()
}

/// Waits some time until others are idle.
pub fn wait_for_quiet() {
    if is_busy() {
        return;
    }
    for _ in 0..MOMENTS {
        if measured(&[], || thread::sleep(MOMENT)).others < OTHERS {
            return;
        }
    }
}

/// A piece of all turns: the time, and the processor time in seconds.
pub fn sum(turns: &[Vec<Measured>], piece: usize) -> (f64, f64) {
    let pieces = turns.iter().map(|turn| &turn[piece]);
    pieces.fold((0.0, 0.0), |(time, processor), one| {
        (time + one.time.as_secs_f64(), processor + one.processor)
    })
}

/// The least and the greatest ratio of two pieces' times in a turn.
pub fn range(turns: &[Vec<Measured>], one: usize, other: usize) -> (f64, f64) {
    let ratios = turns
        .iter()
        .map(|turn| turn[one].time.as_secs_f64() / turn[other].time.as_secs_f64());
    ratios.fold((f64::MAX, 0.0), |(least, greatest), ratio| {
        (ratio.min(least), ratio.max(greatest))
    })
}
