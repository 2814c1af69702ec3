//! The settings of an export.

use failure::Diagnostic;
use thiserror::Error;

use super::Settings;
use crate::export::ExportHeaders;
use crate::factory::ExportTarget;

/// Settings that an export needs are not set.
#[derive(Debug, Error, Diagnostic)]
#[error("settings that an export needs are not set: {}", .0.join(", "))]
#[diagnostic(
    code("export-settings-missing"),
    help("Set them in hardware-identity.toml, use the flags of the same names, or remove `factory.export`")
)]
pub struct MissingSettings(Vec<&'static str>);

impl Settings {
    /// The target of the export on a factory boot and the headers of the export, if the settings
    /// ask for one.
    ///
    /// # Errors
    /// [`MissingSettings`], which names all missing settings.
    pub fn factory_export(&self) -> Result<Option<(&ExportTarget, ExportHeaders)>, MissingSettings> {
        match &self.factory.export {
            None => Ok(None),
            Some(target) => Ok(Some((target, self.export_headers()?))),
        }
    }

    /// The headers of an export that the settings give.
    ///
    /// # Errors
    /// [`MissingSettings`], which names all missing settings.
    pub fn export_headers(&self) -> Result<ExportHeaders, MissingSettings> {
        if let Settings {
            issuer_id: Some(issuer_id),
            manufacturer: Some(manufacturer),
            hardware_name: Some(hardware_name),
            hardware_id: Some(hardware_id),
            ..
        } = self
        {
            return Ok(ExportHeaders {
                issuer_id: issuer_id.clone(),
                manufacturer: manufacturer.clone(),
                hardware_name: hardware_name.clone(),
                hardware_id: hardware_id.clone(),
            });
        }
        let needed = [
            ("issuer-id", self.issuer_id.is_none()),
            ("manufacturer", self.manufacturer.is_none()),
            ("hardware-name", self.hardware_name.is_none()),
            ("hardware-id", self.hardware_id.is_none()),
        ];
        let missing = needed.iter().filter(|(_, is_missing)| *is_missing);
        Err(MissingSettings(missing.map(|(name, _)| *name).collect()))
    }
}
