//! Hook `configure`: refuses settings that another hook would fail on later.
//!
//! snapd runs it after `snap set` on the gadget, with the gadget's defaults while the device is seeded, and when the gadget is
//! refreshed, and takes all of it back where this fails. No TPM is asked.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use hardware_identity::config::{OPTION, Settings};
use hardware_identity::environment::SnapEnvironment;
use hardware_identity::export;
use hardware_identity::outcome;
use hardware_identity::serial;
use hardware_identity::snapctl;

const PROGRAM: &str = "configure";

fn main() -> ExitCode {
    let problems = snapctl::get(&[OPTION]).map(|options| {
        let (settings, errors) = SnapEnvironment::read().read_settings(options.get(OPTION));
        match errors.is_empty() {
            true => contradictions(&settings),
            // What is wrong in one place need not be told twice.
            false => errors.iter().map(ToString::to_string).collect(),
        }
    });
    match problems {
        Ok(problems) => outcome::finish_with(PROGRAM, &problems),
        Err(error) => outcome::finish(PROGRAM, Err(error.into())),
    }
}

/// Settings that do not go together, as far as they alone tell.
fn contradictions(settings: &Settings) -> Vec<String> {
    let hardware_id = settings
        .hardware_id
        .as_ref()
        .map_or(Ok(()), |source| source.check());
    if let Err(error) = hardware_id {
        return vec![error.to_string()];
    }
    let serial = serial::check(settings).err().map(|error| error.to_string());
    let export = export::on_factory_boot(settings)
        .err()
        .map(|error| error.to_string());
    serial.into_iter().chain(export).collect()
}
