//! PostgreSQL: one database for several replicas of the service.
//!
//! Every operation is one transaction of the database, which returns after the commit. Concurrent
//! uses of nonces, issues and log entries share a transaction (group commit). The time of nonces is
//! the database's. The named operations are documented at [`Store`](super::Store).

mod batches;
mod changes;
mod columns;
mod connections;
mod database;
mod device_sessions;
mod identities;
mod import;
mod ledger;
mod lists;
mod log;
mod migrations;
mod nonces;
mod password;
mod readiness;
mod serials;
mod sessions;
mod statistics;
mod tls;
mod transfer;
mod url;
mod withdrawal;

pub(super) use database::PostgresStore;
pub(crate) use import::ImportTransaction;
pub(super) use transfer::PostgresTransfer;

/// The string as PostgreSQL can store it: without the character NUL, which no valid value has.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// A number as PostgreSQL can store it. Larger ones do not occur: SQLite refuses them too.
fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
