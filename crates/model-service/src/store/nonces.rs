//! Nonces: issued, valid for a limited time, consumed once.

use super::{Backend, Store, StoreError};

/// The result of consuming a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NonceState {
    /// It was open and is consumed now.
    Consumed,
    /// It was consumed before.
    Used,
    /// It is no longer valid.
    Expired,
    /// It was never issued, or was deleted to make room for newer ones.
    Unknown,
}

/// The nonces that devices can still use.
pub(crate) struct OpenNonces {
    /// When they were listed, in seconds since the epoch.
    pub(crate) now: i64,
    /// How many there are.
    pub(crate) count: u64,
    /// Those that expire first: the nonce and the time when it expires.
    pub(crate) first: Vec<(String, i64)>,
}

impl Store {
    /// Stores a new nonce that is valid for `seconds` from now. At most `limit` nonces are kept:
    /// the oldest are deleted.
    pub(crate) async fn issue_nonce(&self, nonce: &str, seconds: i64, limit: i64) -> Result<(), StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.issue_nonce(nonce, seconds, limit).await,
            Backend::Postgres(store) => store.issue_nonce(nonce, seconds, limit).await,
        }
    }

    /// Consumes a nonce. Of two concurrent requests with the same nonce, one finds it used.
    pub(crate) fn consume_nonce(&self, nonce: &str) -> Result<NonceState, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.consume_nonce(nonce),
            Backend::Postgres(store) => store.consume_nonce(nonce),
        }
    }

    /// Counts the open nonces, and lists at most `limit` that expire first.
    pub(crate) async fn open_nonces(&self, limit: u32) -> Result<OpenNonces, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.open_nonces(limit).await,
            Backend::Postgres(store) => store.open_nonces(limit).await,
        }
    }
}
