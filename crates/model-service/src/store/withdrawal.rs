//! Taking back: blocked hardware identities and released serials.

use failure::{Diagnostic, Status};
use thiserror::Error;

use super::{Backend, SerialNumber, Store, StoreError};

/// The longest reason, in characters.
const MAX_REASON: usize = 1000;

/// Why nothing was taken back.
#[derive(Debug, Error, Diagnostic)]
pub enum WithdrawalError {
    /// No imported identity has the digest.
    #[error("no hardware identity with the key digest {digest:?} was imported")]
    #[diagnostic(
        code("identity-not-imported"),
        help("Search the page for the device, or import its identity first")
    )]
    UnknownIdentity {
        /// What was asked for.
        digest: String,
    },
    /// No device has the serial.
    #[error("no device of the model {model} has the serial {serial:?}")]
    #[diagnostic(
        code("serial-not-assigned"),
        help("Check brand, model and serial on the page of registrations")
    )]
    UnknownSerial {
        /// Brand and name of the model.
        model: String,
        /// The serial.
        serial: String,
    },
    /// The reason is empty or too long, or has control characters.
    #[error("the reason is empty, has control characters or has more than {MAX_REASON} characters")]
    #[diagnostic(code("reason-invalid"), help("Give the reason in one short sentence"))]
    Reason,
    /// The database or the ledger failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

impl WithdrawalError {
    pub(crate) fn unknown_serial(number: &SerialNumber) -> Self {
        Self::UnknownSerial {
            model: format!("{}/{}", number.brand, number.model),
            serial: number.serial.clone(),
        }
    }

    /// The exit status of a command that ends with this error.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::UnknownIdentity { .. } | Self::UnknownSerial { .. } | Self::Reason => Status::BadInput,
            Self::Store(error) => error.status(),
        }
    }
}

/// Who changes something, and why.
#[derive(Clone, Debug)]
pub(crate) struct Authorship {
    pub(crate) by: String,
    pub(crate) reason: String,
}

impl Authorship {
    pub(crate) fn new(by: String, reason: &str) -> Result<Self, WithdrawalError> {
        let reason = reason.trim();
        let valid =
            !reason.is_empty() && reason.chars().count() <= MAX_REASON && !reason.contains(char::is_control);
        match valid {
            true => Ok(Self {
                by,
                reason: reason.to_owned(),
            }),
            false => Err(WithdrawalError::Reason),
        }
    }
}

/// An imported identity and what became of it.
#[derive(Debug)]
pub(crate) struct IdentityState {
    /// The digest of the key's DER bytes.
    pub(crate) key_digest: String,
    pub(crate) identities: Vec<ImportedIdentity>,
    /// Since when it is blocked, in seconds since the epoch, and why.
    pub(crate) blocked: Option<(i64, String)>,
    /// Brand, model and serial of the serials that the device has.
    pub(crate) serials: Vec<SerialNumber>,
}

/// One assertion for an identity.
#[derive(Debug)]
pub(crate) struct ImportedIdentity {
    pub(crate) issuer: String,
    pub(crate) digest: String,
    pub(crate) revision: u64,
    pub(crate) hardware_id: String,
    pub(crate) hardware_name: String,
    pub(crate) manufacturer: String,
}

impl Store {
    /// Finds an identity by its digest in either form; blocks the calling thread.
    pub(crate) fn find_identity(&self, digest: &str) -> Result<IdentityState, WithdrawalError> {
        let found = match &self.0 {
            Backend::Sqlite(store) => store.find_identity(digest)?,
            Backend::Postgres(store) => store.find_identity(digest)?,
        };
        found.ok_or_else(|| WithdrawalError::UnknownIdentity {
            digest: digest.to_owned(),
        })
    }

    /// Blocks an identity: it gets no more serials. Returns false if it was blocked before, and
    /// changes nothing then.
    pub(crate) fn block_identity(
        &self,
        digest: &str,
        now: i64,
        authorship: Authorship,
    ) -> Result<bool, WithdrawalError> {
        let key_digest = self.find_identity(digest)?.key_digest;
        Ok(match &self.0 {
            Backend::Sqlite(store) => store.block_identity(key_digest, now, authorship)?,
            Backend::Postgres(store) => store.block_identity(key_digest, now, authorship)?,
        })
    }

    /// Lets a blocked identity get serials again. Returns false if it was not blocked.
    pub(crate) fn unblock_identity(
        &self,
        digest: &str,
        authorship: Authorship,
    ) -> Result<bool, WithdrawalError> {
        let key_digest = self.find_identity(digest)?.key_digest;
        Ok(match &self.0 {
            Backend::Sqlite(store) => store.unblock_identity(key_digest, authorship)?,
            Backend::Postgres(store) => store.unblock_identity(key_digest, authorship)?,
        })
    }

    /// Takes a serial from its device, so that another one can get it.
    pub(crate) fn release_serial(
        &self,
        number: &SerialNumber,
        authorship: Authorship,
    ) -> Result<(), WithdrawalError> {
        let released = match &self.0 {
            Backend::Sqlite(store) => store.release_serial(number.clone(), authorship)?,
            Backend::Postgres(store) => store.release_serial(number.clone(), authorship)?,
        };
        match released {
            true => Ok(()),
            false => Err(WithdrawalError::unknown_serial(number)),
        }
    }
}
