//! The tables `[[model]]`.

use std::path::PathBuf;

use serde::Deserialize;

use super::SettingsError;
use crate::serial_keys::SerialKeySource;

/// A model whose devices get serials from this service.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ModelSettings {
    pub(crate) brand_id: String,
    pub(crate) model: String,
    pub(crate) provisioning: Provisioning,
    /// The private key that signs serials. Its account-key is among `account-keys`.
    pub(crate) serial_key: SerialKeySource,
    /// Accounts whose hardware identities are accepted; the brand alone by default.
    pub(crate) issuers: Option<Vec<String>>,
    /// Hardware names of identities that are accepted; the name of the model alone by default.
    pub(crate) hardware_names: Option<Vec<String>>,
    /// Where serials come from; by default from the hardware identity, if the model is provisioned
    /// by one.
    serial: Option<SerialSource>,
    /// A regular expression that a proposed serial must match as a whole.
    pub(crate) serial_pattern: Option<String>,
    /// The API key of the model, with `provisioning = "api-key"`.
    pub(crate) api_key_file: Option<PathBuf>,
    /// Gives the devices of the model sessions.
    #[serde(default)]
    pub(crate) device_sessions: bool,
}

impl ModelSettings {
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.brand_id, self.model)
    }

    pub(crate) fn serial_source(&self) -> SerialSource {
        self.serial.unwrap_or(match self.provisioning {
            Provisioning::HardwareIdentity => SerialSource::HardwareId,
            Provisioning::ApiKey => SerialSource::Proposed,
        })
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let by_api_key = self.provisioning == Provisioning::ApiKey;
        let model = self.name();
        if by_api_key != self.api_key_file.is_some() {
            return Err(SettingsError::ApiKeyFile { model });
        }
        if by_api_key && self.serial_source() == SerialSource::HardwareId {
            let setting = "serial = \"hardware-id\"";
            return Err(SettingsError::NeedsIdentity { model, setting });
        }
        for (setting, list) in [
            ("hardware-names", &self.hardware_names),
            ("issuers", &self.issuers),
        ] {
            if by_api_key && list.is_some() {
                return Err(SettingsError::NeedsIdentity { model, setting });
            }
        }
        if self.issuers.as_ref().is_some_and(Vec::is_empty) {
            return Err(SettingsError::NoIssuer { model });
        }
        if self.hardware_names.as_ref().is_some_and(Vec::is_empty) {
            return Err(SettingsError::NoHardwareName { model });
        }
        if self.serial_pattern.is_some() && self.serial_source() == SerialSource::HardwareId {
            return Err(SettingsError::PatternUnused { model });
        }
        Ok(())
    }
}

/// Where the serials of a model come from.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SerialSource {
    /// The hardware id of the identity.
    HardwareId,
    /// The proposal of the device.
    Proposed,
}

/// How a device proves that it may have a serial.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Provisioning {
    /// By a signature with the key of its hardware identity.
    HardwareIdentity,
    /// By a secret in the header `api-key`, the same for all devices.
    ApiKey,
}

impl Provisioning {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HardwareIdentity => "hardware-identity",
            Self::ApiKey => "api-key",
        }
    }
}
