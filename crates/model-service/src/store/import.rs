//! Writing hardware identities: all identities of an import in one transaction.

use super::{Backend, IdentityRecord, Store, StoreError};
use super::{postgres, sqlite};
use crate::message::shortened;

/// Where an import comes from.
#[derive(Clone, Debug)]
pub(crate) struct ImportOrigin {
    /// Who imports, as in the ledger.
    pub(crate) by: String,
    /// The name of the file or files; may be empty.
    pub(crate) name: String,
}

impl ImportOrigin {
    /// Keeps the beginning of a long name, without control characters.
    pub(crate) fn new(by: String, name: &str) -> Self {
        let name: String = name.chars().filter(|character| !character.is_control()).collect();
        Self {
            by,
            name: shortened(&name),
        }
    }
}

/// The number of identities that an import stores, by outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredCounts {
    pub(crate) new: u64,
    pub(crate) replaced: u64,
    pub(crate) present: u64,
    pub(crate) older: u64,
}

impl StoredCounts {
    /// Returns true if the import changes something.
    pub(super) fn changed(&self) -> bool {
        self.new + self.replaced > 0
    }
}

/// The result of storing an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpsertOutcome {
    /// It was not stored before.
    New,
    /// It replaced one with a lower revision.
    Replaced,
    /// The same assertion was stored before.
    Present,
    /// One with a higher revision is stored, and stays.
    Older,
    /// Another assertion with the same revision is stored, and stays.
    Conflict,
}

/// What became of an identity.
#[derive(Debug)]
pub(crate) struct UpsertResult {
    pub(crate) outcome: UpsertOutcome,
    /// If it was stored: the digest of the oldest identity by the same issuer that has the same
    /// hardware-id and another key.
    pub(crate) other_key: Option<String>,
}

/// A transaction that stores identities. Dropped without [`commit`](Self::commit), it stores
/// nothing.
pub(crate) enum ImportTransaction {
    Sqlite(sqlite::ImportTransaction),
    Postgres(postgres::ImportTransaction),
}

impl Store {
    /// Begins an import at the time `now`. Blocks the calling thread, for a short time if another
    /// import stores.
    ///
    /// # Errors
    /// [`StoreError::ImportRunning`] if another import still stores.
    pub(crate) fn begin_import(&self, now: i64) -> Result<ImportTransaction, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.begin_import(now).map(ImportTransaction::Sqlite),
            Backend::Postgres(store) => store.begin_import(now).map(ImportTransaction::Postgres),
        }
    }
}

impl ImportTransaction {
    /// Stores identities in their order: each, unless a newer one or another one with the same
    /// revision is stored. Returns the result for each.
    pub(crate) fn upsert_identities(
        &self,
        identities: &[IdentityRecord],
    ) -> Result<Vec<UpsertResult>, StoreError> {
        match self {
            Self::Sqlite(transaction) => transaction.upsert_identities(identities),
            Self::Postgres(transaction) => transaction.upsert_identities(identities),
        }
    }

    /// Records the import in the ledger, then commits the transaction: it is on the disk when this
    /// returns.
    pub(crate) fn commit(self, counts: StoredCounts, origin: &ImportOrigin) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(transaction) => transaction.commit(counts, origin),
            Self::Postgres(transaction) => transaction.commit(counts, origin),
        }
    }
}
