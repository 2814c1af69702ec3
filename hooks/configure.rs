//! Hook `configure`: refuses settings that another hook would fail on later.
//!
//! snapd runs it after `snap set` on the gadget, with the gadget's defaults while the device is seeded, and when the gadget is
//! refreshed, and takes all of it back where this fails. No TPM is asked.
//!
//! It also takes away the body that a registration has left.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use hardware_identity::config::OPTION;
use hardware_identity::contradictions::contradictions;
use hardware_identity::environment::SnapEnvironment;
use hardware_identity::outcome;
use hardware_identity::snapctl::{self, SnapctlError};
use serde_json::Value;

const PROGRAM: &str = "configure";
const BODY: &str = "registration.body";

fn main() -> ExitCode {
    match run() {
        Ok(problems) => outcome::finish_with(PROGRAM, &problems),
        Err(error) => outcome::finish(PROGRAM, Err(error.into())),
    }
}

/// Returns all that is wrong.
fn run() -> Result<Vec<String>, SnapctlError> {
    let options = snapctl::get(&[OPTION, BODY])?;
    let (settings, errors) = SnapEnvironment::read().read_settings(options.get(OPTION));
    let problems = match errors.is_empty() {
        true => contradictions(&settings),
        // What is wrong in one place need not be told twice.
        false => errors.iter().map(ToString::to_string).collect(),
    };
    // What prepare-serial-request has left. A remodel would fail on it: snapd then asks for a serial through this gadget's
    // options and does not run prepare-device before. A body that is a text is another hook's, and snapd can read it.
    if problems.is_empty() && options.get(BODY).is_some_and(Value::is_object) {
        snapctl::unset(BODY)?;
    }
    Ok(problems)
}
