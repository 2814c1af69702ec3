//! Hook `prepare-device`: makes the hardware identity, and tells snapd how to reach the model service.
//!
//! snapd runs it in run mode at the start of every registration, and keeps nothing that it set where it
//! fails.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use hardware_identity::config::{DeviceService, OPTION};
use hardware_identity::environment::SnapEnvironment;
use hardware_identity::identity;
use hardware_identity::outcome;
use hardware_identity::patience::Patience;
use hardware_identity::serial;
use hardware_identity::snapctl;
use hardware_identity::tpm::silence_tss_log;
use serde_json::{Value, json};

const PROGRAM: &str = "prepare-device";

fn main() -> ExitCode {
    silence_tss_log();
    outcome::finish(PROGRAM, run())
}

fn run() -> anyhow::Result<()> {
    // First of all: a body left from an earlier attempt makes snapd fail every later one before it asks us
    // again.
    snapctl::unset("registration.body")?;
    let environment = SnapEnvironment::read();
    let options = snapctl::get(&[OPTION])?;
    let settings = environment.settings(options.get(OPTION))?;
    let records = environment.hook_records()?;
    let mut patience = Patience::new(settings.tpm_wait);
    let identity = identity::ensure(&settings, &mut patience, &records)?;
    for notice in identity.notices(&settings) {
        eprintln!("{PROGRAM}: warning: {notice}.");
    }
    let proposed = serial::proposed(&settings, &identity.digest())?;
    tell_snapd(&settings.device_service, proposed.as_deref())
}

fn tell_snapd(service: &DeviceService, proposed_serial: Option<&str>) -> anyhow::Result<()> {
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
