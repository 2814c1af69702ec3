//! Hook `prepare-device`: makes the hardware identity, and tells snapd how to reach the model service.
//!
//! snapd runs it in run mode at the start of every registration, and keeps nothing that it set where it
//! fails.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Context as _;
use hardware_identity::config::{DeviceService, OPTION, ProposedSerial, Settings};
use hardware_identity::environment::SnapEnvironment;
use hardware_identity::identity::{self, Identity, Notice};
use hardware_identity::outcome;
use hardware_identity::patience::Patience;
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
    warn(&identity, &settings);
    let proposed = proposed_serial(&settings, &identity)?;
    tell_snapd(&settings.device_service, proposed.as_deref())
}

fn warn(identity: &Identity, settings: &Settings) {
    let not_persistent = (!identity.persistent).then_some(Notice::NotPersistent);
    for notice in identity.deviations(settings).into_iter().chain(not_persistent) {
        eprintln!("{PROGRAM}: warning: {notice}.");
    }
}

fn proposed_serial(settings: &Settings, identity: &Identity) -> anyhow::Result<Option<String>> {
    let serial = match settings.proposed_serial {
        None => return Ok(None),
        Some(ProposedSerial::KeyDigest) => identity.digest(),
        Some(ProposedSerial::HardwareId) => settings
            .hardware_id
            .as_ref()
            .context(
                "the setting `registration.proposed-serial` asks for the hardware id, and there is none. Set \
                 `hardware-id`, or set `registration.proposed-serial` to key-digest",
            )?
            .read(&identity.digest())?,
    };
    // A serial number is part of the serial assertion's primary key, which holds no slash.
    anyhow::ensure!(
        !serial.contains('/'),
        "the proposed serial number \"{serial}\" has a slash in it, which a serial assertion cannot hold. \
         Set `hardware-id` to another source, or `registration.proposed-serial` to key-digest"
    );
    Ok(Some(serial))
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
