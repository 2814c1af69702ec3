//! Identity and record errors: cause and advice.

use std::path::PathBuf;

use failure::Diagnostic;
use files::FileError;
use thiserror::Error;

use super::{BackendNotBuilt, KeyBackend};
#[cfg(feature = "pkcs11")]
use crate::pkcs11::Pkcs11Error;
#[cfg(feature = "software")]
use crate::software::SoftwareKeyError;
use crate::tpm::{KeyName, PersistentHandle, TpmError};

/// Why the identity cannot be made or opened.
#[derive(Debug, Error, Diagnostic)]
pub enum IdentityError {
    /// The TPM failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tpm(#[from] TpmError),
    /// The record cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Record(#[from] RecordError),
    /// The TPM derives another key than the recorded one.
    #[error(
        "this TPM did not make the hardware identity: the recorded key has the Name {recorded}, this TPM \
         derives {found}. The TPM was replaced, its seed was reset, or the data of another device was \
         copied to this one"
    )]
    #[diagnostic(
        code("identity-of-other-tpm"),
        help(
            "To start over with this TPM, delete {file}, run prepare-device, and have the issuer import \
             the new hardware identity"
        )
    )]
    OtherTpm {
        /// The Name of the recorded key.
        recorded: KeyName,
        /// The Name of the key that this TPM derives.
        found: KeyName,
        /// The record.
        file: String,
    },
    /// There is neither a key nor a record.
    #[error(
        "this device has no hardware identity yet: the persistent handle {0} is empty, and there is no record"
    )]
    #[diagnostic(
        code("identity-missing"),
        help(
            "Run prepare-device, as snapd does at the start of every registration; outside the snap, set \
             SNAP_SAVE_DATA or SNAP_COMMON to its data directory"
        )
    )]
    Missing(PersistentHandle),
    /// There is no record, without which the key of this backend is not known.
    #[error("this device has no hardware identity yet: there is no record")]
    #[diagnostic(
        code("identity-missing"),
        help(
            "Run prepare-device, as snapd does at the start of every registration; outside the snap, set \
             SNAP_SAVE_DATA or SNAP_COMMON to its data directory"
        )
    )]
    NoRecord,
    /// The settings name another backend than the one that keeps the key.
    #[error("`key-backend` is {setting}, but the hardware identity of this device is kept by {recorded}")]
    #[diagnostic(
        code("key-backend-changed"),
        help("Set `key-backend` back to {recorded}: a device keeps its identity")
    )]
    BackendChanged {
        /// The keeper of the key.
        recorded: KeyBackend,
        /// The setting.
        setting: KeyBackend,
    },
    /// The program was built without the backend.
    #[error(transparent)]
    #[diagnostic(transparent)]
    BackendNotBuilt(#[from] BackendNotBuilt),
    /// The key is not in a TPM, so it has no endorsement key to prove it with.
    #[error("the identity key of this device is not in a TPM, so no proof of a TPM can be made")]
    #[diagnostic(
        code("key-not-in-tpm"),
        help("Export it without evidence, and sign it without `--require-proof`")
    )]
    NotInTpm,
    /// The key in the token cannot be used.
    #[cfg(feature = "pkcs11")]
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pkcs11(#[from] Pkcs11Error),
    /// The key file cannot be used.
    #[cfg(feature = "software")]
    #[error(transparent)]
    #[diagnostic(transparent)]
    Software(#[from] SoftwareKeyError),
}

impl IdentityError {
    /// Returns true if the device has another key than the recorded one: a later run cannot succeed
    /// either.
    pub fn is_of_other_identity(&self) -> bool {
        match self {
            IdentityError::OtherTpm { .. } | IdentityError::BackendChanged { .. } => true,
            #[cfg(feature = "pkcs11")]
            IdentityError::Pkcs11(error) => {
                matches!(error, Pkcs11Error::Missing { .. } | Pkcs11Error::Replaced { .. })
            }
            #[cfg(feature = "software")]
            IdentityError::Software(error) => matches!(
                error,
                SoftwareKeyError::Missing { .. } | SoftwareKeyError::Replaced { .. }
            ),
            _ => false,
        }
    }
}

/// Why the record cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum RecordError {
    /// The content is not that of a record.
    #[error("the record of the hardware identity, {}, is damaged: {problem}", path.display())]
    #[diagnostic(
        code("record-damaged"),
        help(
            "Restore it from a backup. If the key is in the TPM or in a file, you can delete the record: \
             prepare-device writes it again from the key"
        )
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A later version of this software wrote it.
    #[error("a later version of this software wrote the record of the hardware identity, {}", path.display())]
    #[diagnostic(code("record-too-new"), help("Install that version of the gadget again"))]
    TooNew {
        /// The file.
        path: PathBuf,
    },
    /// The file exists and cannot be read.
    #[error("record of the hardware identity: {0}")]
    #[diagnostic(
        code("record-unreadable"),
        help("Check the permissions of the directory, and the disk")
    )]
    Unreadable(FileError),
    /// The record cannot be written; an earlier one is still whole.
    #[error("record of the hardware identity: {0}")]
    #[diagnostic(
        code("record-unwritable"),
        help("Make room on the disk, and check that it is not mounted read-only")
    )]
    Unwritable(FileError),
    /// Another program is writing the record.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Busy(FileError),
}

impl RecordError {
    pub(super) fn unwritable(error: FileError) -> Self {
        match error {
            FileError::Busy { .. } => RecordError::Busy(error),
            _ => RecordError::Unwritable(error),
        }
    }
}
