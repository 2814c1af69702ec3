//! The issuer's station in line: `station serve`, `station pipe` and `station lot`, and `prove` on
//! devices with software TPMs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    unreachable_pub
)]

#[path = "../../crates/model-service/tests/common/axe.rs"]
mod axe;
#[path = "../onboarding/bench.rs"]
mod bench;
#[path = "../common/mod.rs"]
mod common;
#[path = "../residency/device.rs"]
mod device;
#[path = "../residency/station.rs"]
mod station;
#[path = "../../crates/model-service/tests/common/webdriver.rs"]
mod webdriver;

mod crashes;
mod line;
mod network;
mod outsiders;
mod page;
mod pipes;
mod refusals;
mod signatures;

use std::process::Output;

use serde_json::Value;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The codes at the ends of the lines on stderr.
fn codes(output: &Output) -> Vec<String> {
    let code = |line: &str| Some(line.rsplit_once(" [")?.1.strip_suffix(']')?.to_owned());
    stderr(output).lines().filter_map(code).collect()
}

#[track_caller]
fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

/// The command failed with this exit status, and this code on its last line.
#[track_caller]
fn failed(output: &Output, status: i32, code: &str) {
    assert_eq!(output.status.code(), Some(status), "{}", stderr(output));
    assert_eq!(
        codes(output).last().map(String::as_str),
        Some(code),
        "{}",
        stderr(output)
    );
}

/// The JSON on stdout.
#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(output)))
}
