//! The serial number that prepare-device proposes to the model service.

use failure::Diagnostic;
use thiserror::Error;

use crate::config::{ProposedSerial, Settings};
use crate::hardware_id::{HardwareIdError, HardwareIdSource};

/// Why no serial number can be proposed.
#[derive(Debug, Error, Diagnostic)]
pub enum SerialError {
    /// The hardware id is to be proposed, and its source is not set.
    #[error("`registration.proposed-serial` is hardware-id, but `hardware-id` is not set")]
    #[diagnostic(
        code("proposed-serial-unset"),
        help("Set `hardware-id`, or set `registration.proposed-serial` to key-digest")
    )]
    NoHardwareId,
    /// The serial number contains a slash. It is part of the primary key of the serial assertion,
    /// in which snapd allows none.
    #[error("the proposed serial number `{0}` contains a slash, which snapd does not allow")]
    #[diagnostic(
        code("proposed-serial-slash"),
        help("Set `hardware-id` to another source, or `registration.proposed-serial` to key-digest")
    )]
    Slash(String),
    /// The hardware id cannot be read or used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    HardwareId(#[from] HardwareIdError),
}

/// The serial number to propose, if the settings ask for one. `key_digest` is the digest of the
/// identity key in the form in use.
///
/// # Errors
/// [`SerialError`].
pub fn proposed(settings: &Settings, key_digest: &str) -> Result<Option<String>, SerialError> {
    let serial = match settings.proposed_serial {
        None => return Ok(None),
        Some(ProposedSerial::KeyDigest) => key_digest.to_owned(),
        Some(ProposedSerial::HardwareId) => {
            let source = settings.hardware_id.as_ref();
            source.ok_or(SerialError::NoHardwareId)?.read(key_digest)?
        }
    };
    match serial.contains('/') {
        true => Err(SerialError::Slash(serial)),
        false => Ok(Some(serial)),
    }
}

/// Checks what is known without the device.
///
/// # Errors
/// As [`proposed`].
pub fn check(settings: &Settings) -> Result<(), SerialError> {
    match settings.hardware_id {
        None | Some(HardwareIdSource::Literal(_)) => proposed(settings, "").map(drop),
        Some(_) => Ok(()),
    }
}
