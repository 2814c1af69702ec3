//! SQLite: two files with a write-ahead log, for one process that serves.
//!
//! One thread writes nonces, serials and the log. Imports write the identities, which have their
//! own file so that devices do not wait for an import. The named operations are documented at
//! [`Store`](super::Store).

mod backup;
mod changes;
mod clock;
mod columns;
mod database;
mod device_sessions;
mod files;
mod identities;
mod import;
mod ledger;
mod lists;
mod log;
mod migrations;
mod nonces;
mod readiness;
mod savepoint;
mod serials;
mod sessions;
mod source;
mod statistics;
mod withdrawal;
mod writer;

pub(crate) use backup::{back_up, restore, verify_ledger};
pub(super) use database::SqliteStore;
pub(crate) use files::StorePaths;
pub(crate) use import::ImportTransaction;
pub(crate) use ledger::{LedgerEnd, LedgerError};
pub(super) use source::SqliteSource;
pub(crate) use writer::WRITER_THREAD;
