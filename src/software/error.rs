//! Errors of the key in a file: cause and advice.

use std::path::{Path, PathBuf};

use failure::Diagnostic;
use files::FileError;
use openssl::error::ErrorStack;
use thiserror::Error;

use super::reason;

/// Why the key file cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum SoftwareKeyError {
    /// The record exists, and the key file does not.
    #[error("the identity key is gone: {} does not exist", path.display())]
    #[diagnostic(
        code("software-key-missing"),
        help(
            "Restore it from a backup. To start over, delete {}, run prepare-device, and have the issuer import \
             the new hardware identity",
            record.display()
        )
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// The record.
        record: PathBuf,
    },
    /// The file holds another key than the recorded one.
    #[error("the key in {} is not the recorded identity key", path.display())]
    #[diagnostic(
        code("software-key-replaced"),
        help(
            "Restore it from a backup. To start over with the key that is there, delete {}, run prepare-device, \
             and have the issuer import the new hardware identity",
            record.display()
        )
    )]
    Replaced {
        /// The file.
        path: PathBuf,
        /// The record.
        record: PathBuf,
    },
    /// The content is not a private key of a kind that a device can have.
    #[error("the key file {} is damaged: {problem}", path.display())]
    #[diagnostic(
        code("software-key-damaged"),
        help(
            "Restore it from a backup. To start over, delete it and the record beside it, run prepare-device, and \
             have the issuer import the new hardware identity"
        )
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The file exists and cannot be read.
    #[error("key file: {0}")]
    #[diagnostic(
        code("software-key-unreadable"),
        help("Check the file and the disk; the key must be a regular file that root can read")
    )]
    Unreadable(FileError),
    /// The key cannot be written; nothing was stored.
    #[error("key file: {0}")]
    #[diagnostic(
        code("software-key-unwritable"),
        help("Make room on the disk, and check that it is not mounted read-only")
    )]
    Unwritable(FileError),
    /// Others can read the file, or another program is writing it.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(FileError),
    /// OpenSSL did not make the key or did not sign.
    #[error("OpenSSL cannot use the identity key: {0}")]
    #[diagnostic(
        code("software-key-failed"),
        help(
            "Check that the libcrypto of the base or the snap is complete, and that the file is not damaged"
        )
    )]
    Failed(String),
}

impl SoftwareKeyError {
    pub(super) fn failed(error: ErrorStack) -> Self {
        SoftwareKeyError::Failed(reason(&error))
    }

    pub(super) fn unreadable(path: &Path, error: FileError) -> Self {
        match error {
            FileError::Exposed { .. } => SoftwareKeyError::File(error),
            FileError::TooLarge { .. } => SoftwareKeyError::Damaged {
                path: path.to_owned(),
                problem: error.to_string(),
            },
            _ => SoftwareKeyError::Unreadable(error),
        }
    }

    pub(super) fn unwritable(error: FileError) -> Self {
        match error {
            FileError::Busy { .. } => SoftwareKeyError::File(error),
            _ => SoftwareKeyError::Unwritable(error),
        }
    }
}
