//! The backends, and opening and closing the database.

use std::path::PathBuf;

use super::StoreError;
use super::sqlite::{SqliteStore, StorePaths};
use crate::settings::Settings;

/// The database of the service. Clones share it.
#[derive(Clone)]
pub(crate) struct Store(pub(super) Backend);

/// Where the database is.
#[derive(Clone)]
pub(super) enum Backend {
    Sqlite(SqliteStore),
}

impl Store {
    /// Creates what the settings name and does not exist. Returns the paths of the files.
    pub(crate) fn create(settings: &Settings) -> Result<Vec<PathBuf>, StoreError> {
        SqliteStore::create(&StorePaths::of(settings))
    }

    /// Opens the database, migrates it if it has an older version, and makes it agree with the
    /// ledger. Creates neither.
    pub(crate) fn open(settings: &Settings) -> Result<Self, StoreError> {
        let store = SqliteStore::open(StorePaths::of(settings))?;
        Ok(Self(Backend::Sqlite(store)))
    }

    /// The version of the database, and whether it is the latest one. Changes nothing; others may use
    /// the database.
    pub(crate) fn check_version(settings: &Settings) -> Result<(i64, bool), StoreError> {
        SqliteStore::check_version(&StorePaths::of(settings))
    }

    /// Closes the database after the writes submitted before. Later reads and writes fail.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.close(),
        }
    }

    /// Waits for an error after which the database cannot be written any more.
    pub(crate) async fn failure(&self) -> StoreError {
        match &self.0 {
            Backend::Sqlite(store) => store.failure().await,
        }
    }

    /// Checks that the database and the ledger can be written.
    pub(crate) async fn check_writable(&self) -> Result<(), StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.check_writable().await,
        }
    }

    /// A directory for large temporary files.
    pub(crate) fn directory(&self) -> PathBuf {
        match &self.0 {
            Backend::Sqlite(store) => store.directory().to_owned(),
        }
    }
}
