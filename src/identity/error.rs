//! Identity and record errors: cause and advice.

use std::path::PathBuf;

use failure::Diagnostic;
use files::FileError;
use thiserror::Error;

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
}

/// Why the record cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum RecordError {
    /// The content is not that of a record.
    #[error("the record of the hardware identity, {}, is damaged: {problem}", path.display())]
    #[diagnostic(
        code("record-damaged"),
        help(
            "Restore it from a backup, or delete it: prepare-device writes it again from the key in the TPM"
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
