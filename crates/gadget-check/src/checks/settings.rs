//! The settings: whether they are enough for a registration and fit together.

use hardware_identity::config::{self, ProposedSerial, Settings};
use hardware_identity::conflicts::conflicts;
use hardware_identity::hardware_id::HardwareIdSource;
use hardware_identity::identity::KeyBackend;
use identity_key::DigestForm;
use serde_json::Value;

use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::SettingsFinding;
use crate::gadget::Gadget;

pub(crate) fn check(gadget: &Gadget<'_>) -> Vec<GadgetFinding> {
    let Some(settings) = &gadget.settings else {
        return Vec::new();
    };
    let mut findings = registration(gadget, settings);
    let conflicts = conflicts(settings);
    match conflicts.is_empty() {
        true => findings.extend(same_serial(settings)),
        false => findings.extend(conflicts.iter().map(|conflict| {
            let problem = conflict.to_string();
            SettingsFinding::Contradictory { problem }.at(config::FILE)
        })),
    }
    if settings.digest_form == DigestForm::Der {
        findings.push(SettingsFinding::DigestFormDer.at(place("digest-form")));
    }
    if settings.key_backend == KeyBackend::Tpm {
        findings.extend(tcti(settings.tcti.to_string()));
    }
    if settings.key_backend == KeyBackend::Software {
        findings.push(SettingsFinding::SoftwareKey.at(place("key-backend")));
    }
    findings
}

/// What a device needs for its serial: the model service, and a serial number to propose.
fn registration(gadget: &Gadget<'_>, settings: &Settings) -> Vec<GadgetFinding> {
    let is_offline =
        settings.device_service.offline || default(gadget, "device-service.access") == Some("offline");
    if is_offline {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if settings.device_service.url.is_none() && !is_set_elsewhere(gadget, "device-service.url") {
        findings.push(SettingsFinding::NoDeviceServiceUrl.at(place("device-service.url")));
    }
    let option = "registration.proposed-serial";
    if settings.proposed_serial.is_none() && !is_set_elsewhere(gadget, option) {
        findings.push(SettingsFinding::NoProposedSerial.at(place(option)));
    }
    findings
}

/// The value of an option of snapd in the gadget's defaults.
fn default<'a>(gadget: &'a Gadget<'_>, option: &str) -> Option<&'a str> {
    let pointer = format!("/{}", option.replace('.', "/"));
    let options = gadget.defaults.iter().map(|(_, options)| options);
    options
        .filter_map(|options| options.pointer(&pointer))
        .find_map(Value::as_str)
}

/// Returns true if the gadget's defaults or scripts of its hooks set an option of snapd.
fn is_set_elsewhere(gadget: &Gadget<'_>, option: &str) -> bool {
    default(gadget, option).is_some() || gadget.hooks.values().any(|hook| hook.sets(option))
}

fn same_serial(settings: &Settings) -> Option<GadgetFinding> {
    match (&settings.proposed_serial, &settings.hardware_id) {
        (Some(ProposedSerial::HardwareId), Some(HardwareIdSource::Literal(value))) => {
            let serial = value.to_string();
            Some(SettingsFinding::SameSerial { serial }.at(place("hardware-id")))
        }
        _ => None,
    }
}

fn tcti(tcti: String) -> Option<GadgetFinding> {
    let is_usual = tcti.starts_with("device:/dev/tpmrm");
    (!is_usual).then(|| SettingsFinding::UnusualTcti { tcti }.at(place("tcti")))
}

fn place(setting: &str) -> String {
    format!("{}, {setting}", config::FILE)
}
