//! The export: the unsigned hardware-identity assertion of this device, which the issuer signs.

use failure::Diagnostic;
use serde_json::Value;
use thiserror::Error;

use crate::config::Settings;
use crate::factory::ExportTarget;
use crate::hardware_id::{HardwareIdError, HardwareIdSource};
use crate::identity::HardwareIdentity;
use crate::json;

/// Settings that an export needs are not set.
#[derive(Debug, Error, Diagnostic)]
#[error("settings that an export needs are not set: {}", .0.join(", "))]
#[diagnostic(
    code("export-settings-missing"),
    help(
        "Set them in hardware-identity.toml, use the flags of the same names, or remove `factory.export`"
    )
)]
pub struct MissingSettings(Vec<&'static str>);

/// The target of the export on a factory boot and the headers of the export, if the settings ask
/// for one.
///
/// # Errors
/// [`MissingSettings`], which names all missing settings.
pub fn on_factory_boot(
    settings: &Settings,
) -> Result<Option<(&ExportTarget, ExportHeaders)>, MissingSettings> {
    match &settings.factory.export {
        None => Ok(None),
        Some(target) => Ok(Some((target, ExportHeaders::from_settings(settings)?))),
    }
}

/// The headers of an export that come from the settings.
#[derive(Clone, Debug)]
pub struct ExportHeaders {
    issuer_id: String,
    manufacturer: String,
    hardware_name: String,
    hardware_id: HardwareIdSource,
}

impl ExportHeaders {
    /// The headers that the settings give.
    ///
    /// # Errors
    /// [`MissingSettings`], which names all missing settings.
    pub fn from_settings(settings: &Settings) -> Result<Self, MissingSettings> {
        if let Settings {
            issuer_id: Some(issuer_id),
            manufacturer: Some(manufacturer),
            hardware_name: Some(hardware_name),
            hardware_id: Some(hardware_id),
            ..
        } = settings
        {
            return Ok(ExportHeaders {
                issuer_id: issuer_id.clone(),
                manufacturer: manufacturer.clone(),
                hardware_name: hardware_name.clone(),
                hardware_id: hardware_id.clone(),
            });
        }
        let needed = [
            ("issuer-id", settings.issuer_id.is_none()),
            ("manufacturer", settings.manufacturer.is_none()),
            ("hardware-name", settings.hardware_name.is_none()),
            ("hardware-id", settings.hardware_id.is_none()),
        ];
        let missing = needed.iter().filter(|(_, is_missing)| *is_missing);
        Err(MissingSettings(missing.map(|(name, _)| *name).collect()))
    }

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
        })
    }
}

/// The headers of the unsigned assertion. As JSON it is the object that `snap sign` takes, in which
/// all values are strings.
#[derive(Clone, Debug)]
pub struct Export {
    issuer_id: String,
    manufacturer: String,
    hardware_name: String,
    hardware_id: String,
    hardware_id_key: String,
    hardware_id_key_digest: String,
    timestamp: String,
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

    fn members(&self) -> [(&'static str, Value); 9] {
        [
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
        .map(|(name, value)| (name, Value::from(value)))
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
        }
    }
}
