//! Nonces: issued, valid for a limited time, consumed once.

use super::{Backend, Store, StoreError};

/// How long an expired nonce is kept, in seconds, so that a late request gets "expired" and not
/// "unknown".
pub(super) const KEPT_AFTER_EXPIRY: i64 = 24 * 60 * 60;

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
}
