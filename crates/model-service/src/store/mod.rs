//! The database: nonces, hardware identities, serials and the log of registrations; and the ledger.
//!
//! [`Store`] has a named operation for everything that the service reads or writes; SQL and the
//! types of the database library stay in this module. Operations for handlers of requests are
//! `async`. The others block the calling thread: registrations and imports run in threads that may
//! block.
//!
//! There are two SQLite files with a write-ahead log. One thread writes nonces, serials and the
//! log. Imports write the identities, which have their own file so that devices do not wait for an
//! import.

mod backup;
mod clock;
mod database;
mod error;
mod files;
mod identities;
mod import;
mod ledger;
mod log;
mod migrations;
mod nonces;
mod readiness;
mod savepoint;
mod serials;
mod withdrawal;
mod writer;

pub(crate) use backup::{back_up, restore, verify_ledger};
pub(crate) use database::Store;
pub(crate) use error::StoreError;
pub(crate) use files::StorePaths;
pub(crate) use identities::{IdentityRecord, IdentityRow};
pub(crate) use import::{ImportTransaction, StoredCounts, UpsertOutcome};
pub(crate) use ledger::{LedgerEnd, LedgerError};
pub(crate) use log::{LogEntry, LogRow};
pub(crate) use nonces::{NonceState, OpenNonces};
pub(crate) use serials::{IssueOutcome, IssuedSerial, SerialNumber, identity_device};
pub(crate) use withdrawal::{Authorship, IdentityState, ImportedIdentity, WithdrawalError};
pub(crate) use writer::WRITER_THREAD;
