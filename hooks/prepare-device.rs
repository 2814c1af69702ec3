//! Hook `prepare-device`: makes the hardware identity, and tells snapd how to reach the model
//! service.
//!
//! snapd runs it in run mode at the start of every registration. If it fails, snapd keeps nothing
//! that it set.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use failure::Diagnostic;
use hardware_identity::config::{DeviceService, OPTION};
use hardware_identity::environment::SnapEnvironment;
use hardware_identity::identity;
use hardware_identity::retry::RetryBudget;
use hardware_identity::serial;
use hardware_identity::snapctl::{self, SnapctlError};
use hardware_identity::start::start;
use hardware_identity::tpm::TpmDeadline;
use serde_json::{Value, json};

const PROGRAM: &str = "prepare-device";

fn main() -> ExitCode {
    if let Some(status) = start() {
        return status;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure::report(PROGRAM, &*error);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Diagnostic>> {
    // First of all: with a body of an earlier attempt, snapd fails every later one before it runs
    // prepare-serial-request.
    snapctl::unset("registration.body")?;
    let environment = SnapEnvironment::read();
    let options = snapctl::get(&[OPTION])?;
    let settings = environment.settings(options.get(OPTION))?;
    let records = environment.hook_record_directory()?;
    let parameters = settings.identity();
    // Nothing is written before the key exists, and snapd drops what a failed hook has set.
    let deadline = TpmDeadline::of_hook(|error| {
        failure::report(PROGRAM, &error);
        1
    });
    let mut budget = RetryBudget::new(settings.tpm_wait).with_deadline(deadline);
    let identity = identity::ensure(&parameters, &mut budget, &records)?;
    for warning in identity.warnings(&parameters) {
        failure::warn(PROGRAM, &warning);
    }
    let proposed = serial::proposed(&settings, &identity.digest())?;
    set_options(&settings.device_service, proposed.as_deref())?;
    Ok(())
}

/// Sets the options from which snapd takes the model service and the serial number.
fn set_options(service: &DeviceService, proposed_serial: Option<&str>) -> Result<(), SnapctlError> {
    let url = service.url.as_ref().map(|url| ("device-service.url", json!(url)));
    let headers = (!service.headers.is_empty()).then(|| ("device-service.headers", json!(service.headers)));
    let access = service
        .offline
        .then(|| ("device-service.access", json!("offline")));
    let values: Vec<(&str, Value)> = url.into_iter().chain(headers).chain(access).collect();
    if !values.is_empty() {
        snapctl::set(&values)?;
    }
    if let Some(serial) = proposed_serial {
        snapctl::set_string("registration.proposed-serial", serial)?;
    }
    Ok(())
}
