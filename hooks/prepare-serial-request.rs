//! Hook `prepare-serial-request`: signs the model service's nonce with the hardware identity key.
//!
//! snapd runs it after it got the nonce and before it signs the serial-request. snapd keeps what
//! the hook set even if the hook fails later, so the hook sets the body as its last step.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use failure::Diagnostic;
use hardware_identity::config::OPTION;
use hardware_identity::environment::SnapEnvironment;
use hardware_identity::identity::{self, KeyCheck};
use hardware_identity::retry::RetryBudget;
use hardware_identity::snapctl;
use hardware_identity::start::start;
use hardware_identity::tpm::TpmDeadline;
use serde_json::{Map, Value, json};
use thiserror::Error;

const PROGRAM: &str = "prepare-serial-request";
const REQUEST_ID: &str = "registration.request-id";
const BODY: &str = "registration.body";

/// Why there is no nonce to sign.
#[derive(Debug, Error, Diagnostic)]
enum NonceError {
    #[error("snapd gave no request-id: registration.request-id is not set")]
    #[diagnostic(
        code("request-id-missing"),
        help("Let snapd run this hook: it asks the model service for a request-id")
    )]
    Missing,
    #[error("the request-id that snapd gave in registration.request-id is empty")]
    #[diagnostic(
        code("request-id-empty"),
        help("Check what the model service answers at request-id")
    )]
    Empty,
    #[error("the request-id that snapd gave in registration.request-id is not a string")]
    #[diagnostic(
        code("request-id-not-a-string"),
        help("Check what the model service answers at request-id")
    )]
    NotAString,
}

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
    let environment = SnapEnvironment::read();
    let options = snapctl::get(&[REQUEST_ID, OPTION])?;
    let nonce = nonce(&options)?;
    let settings = environment.settings(options.get(OPTION))?;
    let records = environment.hook_record_directory()?;
    let deadline = TpmDeadline::of_hook(|error| {
        failure::report(PROGRAM, &error);
        1
    });
    let mut budget = RetryBudget::new(settings.tpm_wait).with_deadline(deadline);
    let body = identity::open(
        &settings.identity(),
        &mut budget,
        Some(&records),
        KeyCheck::Template,
        |key, identity| {
            let signature = identity.sign(key, nonce.as_bytes())?;
            let digest = identity.digest();
            Ok(json!({
                "hardware-id-key-sha3-384": digest,
                // The name that snapd 2.74 to 2.77 require.
                "hardware-id-key-sha384": digest,
                "request-id-signature": STANDARD.encode(signature),
                "signature-hash-algorithm": identity.public_key().kind().hash().name(),
            }))
        },
    )?;
    snapctl::set(&[(BODY, body)])?;
    Ok(())
}

/// The nonce, whose UTF-8 bytes are signed.
fn nonce(options: &Map<String, Value>) -> Result<&str, NonceError> {
    match options.get(REQUEST_ID) {
        None | Some(Value::Null) => Err(NonceError::Missing),
        Some(Value::String(nonce)) if nonce.is_empty() => Err(NonceError::Empty),
        Some(Value::String(nonce)) => Ok(nonce),
        Some(_) => Err(NonceError::NotAString),
    }
}
