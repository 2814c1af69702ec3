//! The database: nonces, hardware identities, serials and the log of registrations; and the ledger.
//!
//! [`Store`] has a named operation for everything that the service reads or writes, and passes it
//! on to one of the backends; SQL and the types of a database library stay in the backends.
//! Operations for handlers of requests are `async`. The others block the calling thread:
//! registrations and imports run in threads that may block.

mod backend;
mod error;
mod event;
mod identities;
mod import;
mod log;
mod nonces;
mod postgres;
mod serials;
mod sqlite;
mod withdrawal;

use backend::Backend;
pub(crate) use backend::Store;
pub(crate) use error::StoreError;
use event::Event;
use identities::StoredIdentity;
pub(crate) use identities::{IdentityRecord, IdentityRow};
pub(crate) use import::{ImportTransaction, StoredCounts, UpsertOutcome, UpsertResult};
pub(crate) use log::{LogEntry, LogRow};
pub(crate) use nonces::{NonceState, OpenNonces};
use serials::LastIssued;
pub(crate) use serials::{IssueOutcome, IssuedSerial, SerialNumber, identity_device};
pub(crate) use sqlite::{LedgerEnd, LedgerError, StorePaths, WRITER_THREAD, back_up, restore, verify_ledger};
pub(crate) use withdrawal::{Authorship, IdentityState, ImportedIdentity, WithdrawalError};
