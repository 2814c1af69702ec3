//! The list of nonces.

use super::super::{Backend, Store, StoreError};
use super::{Columns, FromColumns, Listing, PageRequest, Row};

/// Whether a nonce can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NonceStatus {
    Open,
    Used,
    Expired,
}

/// Which nonces are listed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NonceFilter {
    pub(crate) status: Option<NonceStatus>,
}

/// A nonce in a list.
#[derive(Debug)]
pub(crate) struct NonceEntry {
    pub(crate) id: i64,
    /// Its first characters: enough to find it in the log of a device, too little to use it.
    pub(crate) beginning: String,
    /// Seconds since the epoch.
    pub(crate) issued: i64,
    /// Seconds since the epoch.
    pub(crate) expires: i64,
    pub(crate) status: NonceStatus,
}

/// The last two columns are that it was used and that it can be used.
impl FromColumns for NonceEntry {
    fn read<C: Columns>(columns: &mut C) -> Result<Self, C::Error> {
        Ok(Self {
            id: columns.integer()?,
            beginning: columns.text()?,
            issued: columns.integer()?,
            expires: columns.integer()?,
            status: match (columns.flag()?, columns.flag()?) {
                (true, _) => NonceStatus::Used,
                (false, true) => NonceStatus::Open,
                (false, false) => NonceStatus::Expired,
            },
        })
    }
}

impl Row for NonceEntry {
    fn id(&self) -> i64 {
        self.id
    }
}

impl Store {
    /// Lists nonces that are kept.
    pub(crate) async fn list_nonces(
        &self,
        filter: NonceFilter,
        page: PageRequest,
    ) -> Result<Listing<NonceEntry>, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.list_nonces(filter, page).await,
            Backend::Postgres(store) => store.list_nonces(filter, page).await,
        }
    }
}
