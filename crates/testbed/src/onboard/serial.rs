//! The checks of the serial: exactly one, for this device, by an account that may sign it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail, ensure};
use jiff::Timestamp;
use snap_assertions::types::{AccountKey, Serial};
use snap_assertions::{Assertion, Decoder, LocalSigner, Signer as _};

use super::model::DeviceModel;
use super::service::Failure;

/// The serial in the answer of the service, a stream of assertions.
pub(crate) fn read(answer: &[u8]) -> Result<Assertion, Failure> {
    let mut serial = None;
    for assertion in Decoder::new(answer) {
        // snapd retries if it cannot decode the answer, as for a broken connection.
        let assertion = assertion.map_err(|error| {
            Failure::Transient(anyhow!(
                "cannot decode the answer to the serial-request: {error}. Let the service answer with a \
                 stream of assertions"
            ))
        })?;
        if assertion.kind().name() != "serial" {
            continue;
        }
        if serial.replace(assertion).is_some() {
            return Err(Failure::Final(anyhow!(
                "the service answered with more than one serial. Let it send exactly one"
            )));
        }
    }
    serial.ok_or_else(|| {
        Failure::Final(anyhow!(
            "the service answered without a serial. Let it send exactly one"
        ))
    })
}

/// Checks that the serial is for this device (getSerial in snapd's handlers_serial.go).
pub(super) fn check(assertion: &Assertion, model: &DeviceModel, key: &LocalSigner) -> Result<()> {
    let serial = Serial::try_from(assertion)?;
    for (field, found, requested) in [
        ("brand", serial.brand_id(), model.brand_id.as_str()),
        ("model", serial.model(), model.name.as_str()),
        ("device key", serial.device_key().id(), key.public_key().id()),
    ] {
        ensure!(
            found == requested,
            "it is for the {field} {found}, not {requested} as requested. Correct the service"
        );
    }
    let authority = assertion.authority_id().unwrap_or_default();
    ensure!(
        authority == model.brand_id || model.serial_authority.iter().any(|id| id == authority),
        "it is signed by {authority}, which is neither the brand nor in the model's serial-authority. Let \
         the brand sign it, or add the account to the model"
    );
    Ok(())
}

/// The account-keys that a real device gets from the store.
#[derive(Debug, Default)]
pub(super) struct TrustedKeys(Vec<Assertion>);

impl TrustedKeys {
    pub(super) fn read(files: &[PathBuf]) -> Result<Self> {
        let mut keys = Vec::new();
        for file in files {
            let name = file.display();
            let bytes = fs::read(file).with_context(|| format!("cannot read {name}; check --account-key"))?;
            for assertion in Decoder::new(&bytes[..]) {
                let assertion = assertion
                    .with_context(|| format!("{name} does not contain assertions; check --account-key"))?;
                if assertion.kind().name() != "account-key" {
                    bail!(
                        "{name} contains an assertion of another type; give only account-keys as \
                         --account-key"
                    );
                }
                keys.push(assertion);
            }
        }
        Ok(TrustedKeys(keys))
    }

    /// Verifies the signature, if any key is given. Returns a line for the log.
    pub(super) fn verify(&self, serial: &Assertion) -> Result<&'static str> {
        if self.0.is_empty() {
            return Ok(
                "serial: for this device; its signature is not verified, since --account-key is not set",
            );
        }
        let signer = self.0.iter().find(|key| {
            AccountKey::try_from(*key).is_ok_and(|key| key.public_key().id() == serial.sign_key_id())
        });
        let signer = signer.with_context(|| {
            format!(
                "it is signed with the key {}, and no --account-key is for this key. Give its account-key, \
                 or correct the service",
                serial.sign_key_id()
            )
        })?;
        AccountKey::try_from(signer)?.verify(serial, Timestamp::now())?;
        Ok("serial: for this device; its signature is right")
    }
}
