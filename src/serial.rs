//! The serial number that prepare-device proposes to the model service.

use thiserror::Error;

use crate::config::{ProposedSerial, Settings};
use crate::hardware_id::{HardwareIdError, HardwareIdSource};

/// Why no serial number can be proposed.
#[derive(Debug, Error)]
pub enum SerialError {
    /// The settings ask for the hardware id and name none.
    #[error(
        "the setting `registration.proposed-serial` asks for the hardware id, and there is none. Set \
         `hardware-id`, or set `registration.proposed-serial` to key-digest"
    )]
    NoHardwareId,
    /// A serial number is part of the serial assertion's primary key, which holds no slash.
    #[error(
        "the proposed serial number \"{0}\" has a slash in it, which a serial assertion cannot hold. Set \
         `hardware-id` to another source, or `registration.proposed-serial` to key-digest"
    )]
    Slash(String),
    /// The hardware id.
    #[error(transparent)]
    HardwareId(#[from] HardwareIdError),
}

/// The serial number to propose, if the settings ask for one. `key_digest` is the digest of the identity key in
/// the form in use.
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

/// As [`proposed`], as far as the settings alone tell.
///
/// # Errors
/// [`SerialError`].
pub fn check(settings: &Settings) -> Result<(), SerialError> {
    match settings.hardware_id {
        None | Some(HardwareIdSource::Literal(_)) => proposed(settings, "").map(drop),
        Some(_) => Ok(()),
    }
}
