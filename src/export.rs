//! The export: the unsigned hardware-identity assertion of this device, which the issuer signs.

use serde::Serialize;
use thiserror::Error;

use crate::config::Settings;
use crate::delivery::Target;
use crate::hardware_id::{HardwareIdError, HardwareIdSource};
use crate::identity::Identity;

/// What an export needs and no setting gives.
#[derive(Debug, Error)]
#[error("not set: {}", .0.join(", "))]
pub struct NotSet(Vec<&'static str>);

/// The settings ask for an export on a factory boot, and one cannot be made.
#[derive(Debug, Error)]
#[error(
    "the setting `factory.export` is {target}, and what an export needs is {missing}. Set it, or remove \
     `factory.export`"
)]
pub struct Incomplete {
    target: Target,
    missing: NotSet,
}

/// Where the export goes on a factory boot and what it says, if the settings ask for one.
///
/// # Errors
/// [`Incomplete`], which names all settings that are missing.
pub fn on_factory_boot(settings: &Settings) -> Result<Option<(&Target, Description)>, Incomplete> {
    let Some(target) = &settings.factory.export else {
        return Ok(None);
    };
    match Description::of(settings) {
        Ok(description) => Ok(Some((target, description))),
        Err(missing) => Err(Incomplete {
            target: target.clone(),
            missing,
        }),
    }
}

/// What an export says of the device beyond its key.
#[derive(Clone, Debug)]
pub struct Description {
    issuer_id: String,
    manufacturer: String,
    hardware_name: String,
    hardware_id: HardwareIdSource,
}

impl Description {
    /// The description that the settings give.
    ///
    /// # Errors
    /// [`NotSet`], which names all settings that are missing.
    pub fn of(settings: &Settings) -> Result<Self, NotSet> {
        if let Settings {
            issuer_id: Some(issuer_id),
            manufacturer: Some(manufacturer),
            hardware_name: Some(hardware_name),
            hardware_id: Some(hardware_id),
            ..
        } = settings
        {
            return Ok(Description {
                issuer_id: issuer_id.clone(),
                manufacturer: manufacturer.clone(),
                hardware_name: hardware_name.clone(),
                hardware_id: hardware_id.clone(),
            });
        }
        let missing = [
            ("issuer-id", settings.issuer_id.is_none()),
            ("manufacturer", settings.manufacturer.is_none()),
            ("hardware-name", settings.hardware_name.is_none()),
            (
                "hardware-id (dmi:product_serial, dmi:board_serial, device-tree, key-digest, or a value of your own)",
                settings.hardware_id.is_none(),
            ),
        ];
        let names = missing.iter().filter(|(_, missing)| *missing);
        Err(NotSet(names.map(|(name, _)| *name).collect()))
    }

    /// The export of `identity`. `timestamp` is in RFC 3339.
    ///
    /// # Errors
    /// Where the device has no hardware id.
    pub fn export(&self, identity: &Identity, timestamp: &str) -> Result<Export, HardwareIdError> {
        let digest = identity.digest();
        Ok(Export {
            r#type: "hardware-identity",
            authority_id: self.issuer_id.clone(),
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

/// The headers of the assertion as `snap sign` takes them: a JSON object whose values are all texts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Export {
    r#type: &'static str,
    authority_id: String,
    issuer_id: String,
    manufacturer: String,
    hardware_name: String,
    /// The device's serial number, or what stands for it.
    pub hardware_id: String,
    /// The public key: SubjectPublicKeyInfo DER in standard base64, on one line.
    pub hardware_id_key: String,
    #[serde(rename = "hardware-id-key-sha3-384")]
    hardware_id_key_digest: String,
    timestamp: String,
}

impl Export {
    /// The JSON as a file holds it, on several lines.
    ///
    /// # Errors
    /// None that texts could cause.
    pub fn document(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The JSON on one line, without a line feed.
    ///
    /// # Errors
    /// None that texts could cause.
    pub fn line(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}
