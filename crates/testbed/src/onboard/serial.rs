//! The checks of the serial: exactly one, for this device, by an account that may sign it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail, ensure};
use jiff::Timestamp;
use snap_assertions::types::{AccountKey, LatestAccountKeys, Serial};
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
pub(super) struct TrustedKeys(LatestAccountKeys);

impl TrustedKeys {
    pub(super) fn read(files: &[PathBuf]) -> Result<Self> {
        let mut keys = LatestAccountKeys::default();
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
                let key = AccountKey::try_from(&assertion).with_context(|| {
                    format!("{name} contains an account-key that is not valid; check --account-key")
                })?;
                keys.insert(key);
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
        let signer = self.0.get(serial.sign_key_id());
        let signer = signer.with_context(|| {
            format!(
                "it is signed with the key {}, and no --account-key is for this key. Give its account-key, \
                 or correct the service",
                serial.sign_key_id()
            )
        })?;
        signer.verify(serial, Timestamp::now())?;
        Ok("serial: for this device; its signature is right")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// A withdrawn key stays withdrawn, wherever its account-keys are.
    #[test]
    fn the_highest_revision_of_an_account_key_counts() {
        let cases =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../model-service/tests/account-key-revisions");
        let identity = fs::read(cases.join("in.assert")).unwrap();
        let identity = snap_assertions::decode(&identity).unwrap();
        let both = fs::read_to_string(cases.join("account-keys")).unwrap();
        let at = both.rfind("type: account-key").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let files = [("one", &both[..at]), ("other", &both[at..])].map(|(name, text)| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path
        });
        let revision = |files: &[PathBuf]| {
            let keys = TrustedKeys::read(files).unwrap();
            keys.0.get(identity.sign_key_id()).unwrap().revision()
        };
        let each = [revision(&files[..1]), revision(&files[1..])];
        assert_ne!(each[0], each[1]);
        let [one, other] = files;
        for files in [[one.clone(), other.clone()], [other, one]] {
            assert_eq!(revision(&files), each[0].max(each[1]));
        }
    }
}
