//! The station's side of a proof: EK certificates and their chains, messages, the checks in order. The
//! devices are played; the program's tests have software TPMs.

#![allow(clippy::panic, clippy::unwrap_used)]

mod certificates;
mod chains;
mod messages;
mod station;

use std::fs;
use std::path::Path;
use std::time::Duration;

use residency::EkTime;

fn vector(name: &str) -> Vec<u8> {
    fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/vectors")
            .join(name),
    )
    .unwrap()
}

fn text(name: &str) -> String {
    String::from_utf8(vector(name)).unwrap()
}

/// A day in 2027, when the certificates of the vectors are valid.
fn now() -> EkTime {
    EkTime::At(Duration::from_secs(1_800_000_000))
}
