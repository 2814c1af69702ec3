//! The database: nonces, hardware identities, serials and the log of registrations.
//!
//! [`Store`] has a named operation for everything that the service reads or writes; SQL and the
//! types of the database library stay in this module. Operations for handlers of requests are
//! `async`. The others block the calling thread: registrations and imports run in threads that may
//! block.
//!
//! There are two SQLite files with a write-ahead log. One thread writes nonces, serials and the
//! log. Imports write the identities, which have their own file so that devices do not wait for an
//! import.

mod database;
mod error;
mod identities;
mod import;
mod log;
mod nonces;
mod serials;
mod writer;

pub(crate) use database::Store;
pub(crate) use error::StoreError;
pub(crate) use identities::{IdentityRecord, IdentityRow};
pub(crate) use import::{ImportTransaction, UpsertOutcome};
pub(crate) use log::{LogEntry, LogRow};
pub(crate) use nonces::{NonceState, OpenNonces};
pub(crate) use serials::{IssueOutcome, IssuedSerial, SerialNumber};
