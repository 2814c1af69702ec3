//! The proof that an identity key lives in a genuine TPM, in batches: `export --with-evidence`,
//! `challenge`, `activate` and `sign --require-proof`, on software TPMs with certificates.

#![allow(clippy::unwrap_used, dead_code)]

#[path = "../onboarding/bench.rs"]
mod bench;
#[path = "../common/mod.rs"]
mod common;

mod batches;
mod commands;
mod device;
mod factory;
mod outsiders;
mod refusals;
mod registration;
mod station;

use std::process::Output;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The codes at the ends of the lines on stderr.
fn codes(output: &Output) -> Vec<String> {
    let code = |line: &str| Some(line.rsplit_once(" [")?.1.strip_suffix(']')?.to_owned());
    stderr(output).lines().filter_map(code).collect()
}

/// The command succeeded and printed nothing on stderr.
#[track_caller]
fn succeeded(output: &Output) {
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        stderr(output)
    );
}

/// The command failed with this exit status and these codes.
#[track_caller]
fn failed(output: &Output, status: i32, expected: &[&str]) {
    assert_eq!(output.status.code(), Some(status), "{}", stderr(output));
    assert_eq!(codes(output), expected, "{}", stderr(output));
}
