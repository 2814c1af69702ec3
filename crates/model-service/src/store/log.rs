//! The log of registrations.

use super::{Backend, OutcomeClass, Store, StoreError};

/// A registration and its outcome.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogEntry {
    /// Seconds since the epoch.
    pub(crate) time: i64,
    pub(crate) address: String,
    pub(crate) brand: String,
    pub(crate) model: String,
    pub(crate) serial: String,
    /// The key digest that the request names, or the id of the device key.
    pub(crate) device: String,
    /// `issued`, `repeated` or the code of an error.
    pub(crate) outcome: String,
    /// Cause and advice of an error, otherwise empty.
    pub(crate) reason: String,
}

impl LogEntry {
    /// The class of the outcome, as in the schemas.
    pub(super) fn class(&self) -> i64 {
        match self.outcome.as_str() {
            "issued" => OutcomeClass::Issued,
            "repeated" => OutcomeClass::Repeated,
            _ => OutcomeClass::Refused,
        }
        .number()
    }
}

impl Store {
    /// Adds an entry to the log and deletes all but the newest `limit` of its class: issued,
    /// repeated or refused.
    pub(crate) fn log_registration(&self, entry: LogEntry, limit: i64) -> Result<(), StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.log_registration(entry, limit),
            Backend::Postgres(store) => store.log_registration(entry, limit),
        }
    }
}
