//! The database: nonces, hardware identities, serials and the log of registrations, with lists and
//! statistics of them; and the ledger.
//!
//! [`Store`] has a named operation for everything that the service reads or writes, and passes it
//! on to one of the backends; SQL and the types of a database library stay in the backends.
//! Operations for handlers of requests are `async`. The others block the calling thread:
//! registrations and imports run in threads that may block.

mod backend;
mod changes;
mod columns;
mod conditions;
mod device_sessions;
mod error;
mod event;
mod identities;
mod import;
mod lists;
mod log;
mod nonces;
mod postgres;
mod readiness;
mod serials;
mod sessions;
mod sqlite;
mod statistics;
#[cfg(test)]
mod tests;
mod transfer;
mod withdrawal;

use backend::Backend;
pub(crate) use backend::Store;
pub(crate) use changes::{Change, ChangeKind};
pub(crate) use conditions::TimeRange;
pub(crate) use device_sessions::SerialState;
pub(crate) use error::StoreError;
use event::Event;
pub(crate) use identities::IdentityRecord;
use identities::StoredIdentity;
pub(crate) use import::{ImportOrigin, ImportTransaction, StoredCounts, UpsertOutcome, UpsertResult};
pub(crate) use lists::{
    Cursor, CursorError, IdentityEntry, IdentityFilter, IdentityHistory, Import, ImportFilter,
    IssuedAssertion, Listing, LoggedRegistration, NonceEntry, NonceFilter, NonceStatus, OutcomeClass,
    PageRequest, RegistrationFilter, SerialEntry, SerialFilter, SerialHistory, StoredAssertion, Total,
};
pub(crate) use log::LogEntry;
pub(crate) use nonces::{NonceKind, NonceState};
use serials::LastIssued;
pub(crate) use serials::{
    Assignment, AssignmentQuery, IssueOutcome, IssuedSerial, SerialNumber, identity_device, identity_of,
};
pub(crate) use sqlite::{LedgerEnd, LedgerError, StorePaths, WRITER_THREAD, back_up, restore, verify_ledger};
pub(crate) use statistics::{Counts, DayCounts, RefusalCount};
pub(crate) use transfer::TableDigest;
pub(crate) use withdrawal::{Authorship, IdentityState, ImportedIdentity, WithdrawalError};
