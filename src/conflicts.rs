//! Settings that are valid one by one, but contradict each other.

use failure::Diagnostic;
use thiserror::Error;

use crate::config::{MissingSettings, Settings};
use crate::hardware_id::HardwareIdError;
use crate::identity::{BackendNotBuilt, KeyBackend};
use crate::pkcs11::ModuleUnset;
use crate::serial::{self, SerialError};

/// A conflict between settings, at which a hook would fail.
#[derive(Debug, Error, Diagnostic)]
pub enum SettingsConflict {
    /// The hooks were built without the backend of `key-backend`.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Backend(BackendNotBuilt),
    /// No PKCS#11 module is named.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Module(ModuleUnset),
    /// The value of `hardware-id` cannot be a hardware id.
    #[error(transparent)]
    #[diagnostic(transparent)]
    HardwareId(HardwareIdError),
    /// No serial number can be proposed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Serial(SerialError),
    /// `factory.export` is set, and settings that an export needs are not.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Export(MissingSettings),
}

/// The conflicts that are known without the device.
pub fn conflicts(settings: &Settings) -> Vec<SettingsConflict> {
    let backend = settings.key_backend;
    let not_built = (!backend.is_built()).then_some(SettingsConflict::Backend(BackendNotBuilt(backend)));
    let module = match backend {
        KeyBackend::Pkcs11 => settings.pkcs11.module().err().map(SettingsConflict::Module),
        KeyBackend::Tpm | KeyBackend::Software => None,
    };
    let source = settings.hardware_id.as_ref();
    if let Some(Err(error)) = source.map(|source| source.check()) {
        return vec![SettingsConflict::HardwareId(error)];
    }
    let serial = serial::check(settings).err().map(SettingsConflict::Serial);
    let export = settings.factory_export().err().map(SettingsConflict::Export);
    not_built
        .into_iter()
        .chain(module)
        .chain(serial)
        .chain(export)
        .collect()
}
