//! Hook `prepare-serial-request`: signs the model service's nonce with the hardware identity key.
//!
//! snapd runs it after it got the nonce and before it signs the serial-request. What it sets counts at once,
//! also where it fails later: the body is set as the very last step.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hardware_identity::config::OPTION;
use hardware_identity::environment::SnapEnvironment;
use hardware_identity::identity::{self, Recognition};
use hardware_identity::outcome;
use hardware_identity::patience::Patience;
use hardware_identity::snapctl;
use hardware_identity::tpm::silence_tss_log;
use serde_json::{Map, Value, json};

const REQUEST_ID: &str = "registration.request-id";
const BODY: &str = "registration.body";

fn main() -> ExitCode {
    silence_tss_log();
    outcome::finish("prepare-serial-request", run())
}

fn run() -> anyhow::Result<()> {
    let environment = SnapEnvironment::read();
    let options = snapctl::get(&[REQUEST_ID, OPTION])?;
    let nonce = nonce(&options)?;
    let settings = environment.settings(options.get(OPTION))?;
    let records = environment.hook_records()?;
    let mut patience = Patience::new(settings.tpm_wait);
    let body = identity::open(
        &settings,
        &mut patience,
        Some(&records),
        Recognition::ByTemplate,
        |tpm, identity| {
            let signature = identity.sign(tpm, nonce.as_bytes())?;
            let digest = identity.digest();
            Ok(json!({
                "hardware-id-key-sha3-384": digest,
                // The name that snapd 2.74 to 2.77 looks for; without it they refuse the registration.
                "hardware-id-key-sha384": digest,
                "request-id-signature": STANDARD.encode(signature),
                "signature-hash-algorithm": identity.public_key().kind().hash().name(),
            }))
        },
    )?;
    Ok(snapctl::set(&[(BODY, body)])?)
}

/// The nonce, whose UTF-8 bytes are signed.
fn nonce(options: &Map<String, Value>) -> anyhow::Result<&str> {
    let value = options.get(REQUEST_ID).filter(|value| !value.is_null()).context(
        "snapd gave no request-id (registration.request-id is not set). Let snapd run this hook: it asks the \
         model service for one",
    )?;
    match value {
        Value::String(nonce) if nonce.is_empty() => bail!(
            "the request-id that snapd gave is empty (registration.request-id). Check what the model service \
             answers at request-id"
        ),
        Value::String(nonce) => Ok(nonce),
        _ => bail!(
            "the request-id that snapd gave is not a text (registration.request-id). Check what the model \
             service answers at request-id"
        ),
    }
}
