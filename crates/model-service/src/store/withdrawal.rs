//! Taking back: blocked hardware identities and released serials.

use failure::{Diagnostic, Status};
use rusqlite::{Connection, OptionalExtension as _, params};
use thiserror::Error;

use super::database::Store;
use super::error::StoreError;
use super::ledger::Event;
use super::serials::{self, SerialNumber};

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
        let found = self.read_blocking(|connection| identity_state(connection, digest))?;
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
        let blocked = self.write_blocking(move |connection, events| {
            if find_block(connection, &key_digest)?.is_some() {
                return Ok(false);
            }
            let Authorship { by, reason } = authorship;
            block(connection, &key_digest, now, &reason)?;
            events.push(Event::IdentityBlocked {
                key_digest,
                since: now,
                reason,
                by,
            });
            Ok(true)
        });
        Ok(blocked?)
    }

    /// Lets a blocked identity get serials again. Returns false if it was not blocked.
    pub(crate) fn unblock_identity(
        &self,
        digest: &str,
        authorship: Authorship,
    ) -> Result<bool, WithdrawalError> {
        let key_digest = self.find_identity(digest)?.key_digest;
        let unblocked = self.write_blocking(move |connection, events| {
            if find_block(connection, &key_digest)?.is_none() {
                return Ok(false);
            }
            let Authorship { by, reason } = authorship;
            unblock(connection, &key_digest)?;
            events.push(Event::IdentityUnblocked {
                key_digest,
                reason,
                by,
            });
            Ok(true)
        });
        Ok(unblocked?)
    }

    /// Takes a serial from its device, so that another one can get it.
    pub(crate) fn release_serial(
        &self,
        number: &SerialNumber,
        authorship: Authorship,
    ) -> Result<(), WithdrawalError> {
        let unknown = WithdrawalError::UnknownSerial {
            model: format!("{}/{}", number.brand, number.model),
            serial: number.serial.clone(),
        };
        let number = number.clone();
        let released = self.write_blocking(move |connection, events| {
            let Some(device) = serials::holder(connection, &number)? else {
                return Ok(false);
            };
            let SerialNumber { brand, model, serial } = number;
            serials::delete(connection, &brand, &model, &serial)?;
            let Authorship { by, reason } = authorship;
            events.push(Event::SerialReleased {
                brand,
                model,
                serial,
                device,
                reason,
                by,
            });
            Ok(true)
        });
        match released? {
            true => Ok(()),
            false => Err(unknown),
        }
    }

    /// Returns true if the identity with this digest of the key's DER bytes is blocked.
    pub(crate) fn is_blocked(&self, key_digest: &str) -> Result<bool, StoreError> {
        self.read_blocking(|connection| is_blocked(connection, key_digest))
    }
}

pub(super) fn is_blocked(connection: &Connection, key_digest: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM blocked_identities WHERE key_digest = ?1")?
        .exists([key_digest])
}

fn find_block(connection: &Connection, key_digest: &str) -> rusqlite::Result<Option<(i64, String)>> {
    connection
        .prepare_cached("SELECT time, reason FROM blocked_identities WHERE key_digest = ?1")?
        .query_row([key_digest], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

pub(super) fn block(
    connection: &Connection,
    key_digest: &str,
    since: i64,
    reason: &str,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO blocked_identities VALUES (?1, ?2, ?3)")?
        .execute(params![key_digest, since, reason])
        .map(drop)
}

pub(super) fn unblock(connection: &Connection, key_digest: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM blocked_identities WHERE key_digest = ?1")?
        .execute([key_digest])
        .map(drop)
}

fn identity_state(connection: &Connection, digest: &str) -> rusqlite::Result<Option<IdentityState>> {
    let key_digest: Option<String> = connection
        .query_row(
            // A blocked identity need not be imported any more, after a restore.
            "SELECT key_digest FROM identities WHERE digest = ?1 OR key_digest = ?1
             UNION SELECT key_digest FROM blocked_identities WHERE key_digest = ?1 LIMIT 1",
            [digest],
            |row| row.get(0),
        )
        .optional()?;
    let Some(key_digest) = key_digest else {
        return Ok(None);
    };
    let identities = connection
        .prepare_cached(
            "SELECT issuer, digest, revision, hardware_id, hardware_name, manufacturer
             FROM identities WHERE key_digest = ?1 ORDER BY id",
        )?
        .query_map([&key_digest], |row| {
            Ok(ImportedIdentity {
                issuer: row.get(0)?,
                digest: row.get(1)?,
                revision: row.get(2)?,
                hardware_id: row.get(3)?,
                hardware_name: row.get(4)?,
                manufacturer: row.get(5)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(Some(IdentityState {
        identities,
        blocked: find_block(connection, &key_digest)?,
        serials: serials::of_device(connection, &serials::identity_device(&key_digest))?,
        key_digest,
    }))
}
