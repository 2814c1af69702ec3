//! The export: the unsigned hardware-identity assertion of this device, which the issuer signs.

use serde_json::Value;

use crate::hardware_id::{HardwareIdError, HardwareIdSource};
use crate::identity::{HardwareIdentity, KeyBackend};
use crate::json;

/// The member of an export that says where the key is kept, if that is not a TPM. The assertion does
/// not have it.
pub const KEY_BACKEND: &str = "key-backend";

/// The headers of an export that come from the settings.
#[derive(Clone, Debug)]
pub struct ExportHeaders {
    pub(crate) issuer_id: String,
    pub(crate) manufacturer: String,
    pub(crate) hardware_name: String,
    pub(crate) hardware_id: HardwareIdSource,
}

impl ExportHeaders {
    /// The export of `identity`. `timestamp` is in RFC 3339.
    ///
    /// # Errors
    /// [`HardwareIdError`] if the hardware id cannot be read or used.
    pub fn export(&self, identity: &HardwareIdentity, timestamp: &str) -> Result<Export, HardwareIdError> {
        let digest = identity.digest();
        Ok(Export {
            issuer_id: self.issuer_id.clone(),
            manufacturer: self.manufacturer.clone(),
            hardware_name: self.hardware_name.clone(),
            hardware_id: self.hardware_id.read(&digest)?,
            hardware_id_key: identity.public_key().header_value(),
            hardware_id_key_digest: digest,
            timestamp: timestamp.to_owned(),
            key_backend: identity.record.key.backend(),
        })
    }
}

/// The headers of the unsigned assertion. As JSON it is the object that `snap sign` takes, in which
/// all values are strings; [`KEY_BACKEND`] has to be removed before.
#[derive(Clone, Debug)]
pub struct Export {
    issuer_id: String,
    manufacturer: String,
    hardware_name: String,
    hardware_id: String,
    hardware_id_key: String,
    hardware_id_key_digest: String,
    timestamp: String,
    key_backend: KeyBackend,
}

impl Export {
    /// The hardware id, by which the factory line identifies the device.
    pub fn hardware_id(&self) -> &str {
        &self.hardware_id
    }

    /// The public key: SubjectPublicKeyInfo in DER, in standard base64 on one line.
    pub fn hardware_id_key(&self) -> &str {
        &self.hardware_id_key
    }

    /// The JSON on several lines, as a file holds it.
    pub fn document(&self) -> String {
        json::document(&self.members())
    }

    /// The JSON on one line, without a line feed.
    pub fn line(&self) -> String {
        json::line(&self.members())
    }

    fn members(&self) -> Vec<(&'static str, Value)> {
        let headers = [
            ("type", "hardware-identity"),
            ("authority-id", &self.issuer_id),
            ("issuer-id", &self.issuer_id),
            ("manufacturer", &self.manufacturer),
            ("hardware-name", &self.hardware_name),
            ("hardware-id", &self.hardware_id),
            ("hardware-id-key", &self.hardware_id_key),
            ("hardware-id-key-sha3-384", &self.hardware_id_key_digest),
            ("timestamp", &self.timestamp),
        ]
        .map(|(name, value)| (name, Value::from(value)));
        // Not a header: `hardware-identity sign` reads it and leaves it out of the assertion.
        let backend = (self.key_backend != KeyBackend::Tpm)
            .then(|| (KEY_BACKEND, Value::from(self.key_backend.name())));
        headers.into_iter().chain(backend).collect()
    }

    /// An export for tests of its delivery.
    #[cfg(test)]
    pub(crate) fn sample(hardware_id: &str, hardware_id_key: &str) -> Self {
        Export {
            issuer_id: "a-brand".to_owned(),
            manufacturer: "A".to_owned(),
            hardware_name: "a-box".to_owned(),
            hardware_id: hardware_id.to_owned(),
            hardware_id_key: hardware_id_key.to_owned(),
            hardware_id_key_digest: "DIGEST".to_owned(),
            timestamp: "2026-01-01T00:00:00Z".to_owned(),
            key_backend: KeyBackend::Tpm,
        }
    }
}
