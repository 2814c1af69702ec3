//! Hook `configure`: refuses settings with which another hook would fail later.
//!
//! snapd runs it after `snap set` on the gadget, with the gadget's defaults while the device is seeded,
//! and when the gadget is refreshed. If it fails, snapd undoes all of it. The hook uses no TPM.
//!
//! It also unsets the body that a registration left.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use failure::Diagnostic;
use hardware_identity::config::OPTION;
use hardware_identity::conflicts::conflicts;
use hardware_identity::environment::SnapEnvironment;
use hardware_identity::snapctl::{self, SnapctlError};
use serde_json::Value;
use thiserror::Error;

const PROGRAM: &str = "configure";
const BODY: &str = "registration.body";
/// snapd keeps the last 10 KiB of the output of a hook; a problem takes a few hundred bytes.
const MOST_REPORTED: usize = 10;

type Problem = Box<dyn Diagnostic>;

/// The rest of a long list of problems.
#[derive(Debug, Error, Diagnostic)]
#[error("{0} more problems")]
#[diagnostic(code("more-problems"), help("Correct the problems above first"))]
struct MoreProblems(usize);

fn main() -> ExitCode {
    match run() {
        Ok(problems) => report_all(&problems),
        Err(error) => {
            failure::report(PROGRAM, &error);
            ExitCode::FAILURE
        }
    }
}

/// Returns all problems of the settings.
fn run() -> Result<Vec<Problem>, SnapctlError> {
    let options = snapctl::get(&[OPTION, BODY])?;
    let (settings, errors) = SnapEnvironment::read().read_settings(options.get(OPTION));
    let mut problems: Vec<Problem> = errors.into_iter().map(Problem::from).collect();
    if problems.is_empty() {
        problems.extend(conflicts(&settings).into_iter().map(Problem::from));
    }
    // The body that prepare-serial-request left makes a remodel fail: snapd then reads the body as a
    // string, and does not run prepare-device before. A string is the body of another hook.
    if problems.is_empty() && options.get(BODY).is_some_and(Value::is_object) {
        snapctl::unset(BODY)?;
    }
    Ok(problems)
}

fn report_all(problems: &[Problem]) -> ExitCode {
    for problem in problems.iter().take(MOST_REPORTED) {
        failure::report(PROGRAM, &**problem);
    }
    if let Some(more @ 1..) = problems.len().checked_sub(MOST_REPORTED) {
        failure::report(PROGRAM, &MoreProblems(more));
    }
    match problems.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
