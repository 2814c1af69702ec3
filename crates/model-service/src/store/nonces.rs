//! Nonces: issued, valid for a limited time, consumed once.

use super::{Backend, Store, StoreError};

/// How long an expired nonce is kept, in seconds, so that a late request gets "expired" and not
/// "unknown".
pub(super) const KEPT_AFTER_EXPIRY: i64 = 24 * 60 * 60;
/// What a nonce is for. Those of one kind are not valid for the other, and do not count for its
/// limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NonceKind {
    /// The request-id of a registration.
    Registration,
    /// The nonce of a device-session-request.
    Session,
}

impl NonceKind {
    /// The table with the nonces of this kind, in both backends.
    pub(super) fn table(self) -> &'static str {
        match self {
            Self::Registration => "nonces",
            Self::Session => "session_nonces",
        }
    }
}

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
    /// Stores a new nonce that is valid for `seconds` from now. At most `limit` nonces of a kind are
    /// kept: the oldest are deleted.
    pub(crate) async fn issue_nonce(
        &self,
        kind: NonceKind,
        nonce: &str,
        seconds: i64,
        limit: i64,
    ) -> Result<(), StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.issue_nonce(kind, nonce, seconds, limit).await,
            Backend::Postgres(store) => store.issue_nonce(kind, nonce, seconds, limit).await,
        }
    }

    /// Consumes a nonce. Of two concurrent requests with the same nonce, one finds it used.
    ///
    /// `attempt` is a random number of the request. After an error, the request may consume the nonce
    /// again with the same number: if it was consumed by this number, it is
    /// [`Consumed`](NonceState::Consumed).
    pub(crate) fn consume_nonce(
        &self,
        kind: NonceKind,
        nonce: &str,
        attempt: i64,
    ) -> Result<NonceState, StoreError> {
        match &self.0 {
            // After an error nothing is stored.
            Backend::Sqlite(store) => store.consume_nonce(kind, nonce),
            Backend::Postgres(store) => store.consume_nonce(kind, nonce, attempt),
        }
    }
}
