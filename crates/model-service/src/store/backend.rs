//! The backends, and opening and closing the database.

use std::path::PathBuf;

use super::StoreError;
use super::postgres::PostgresStore;
use super::sqlite::{SqliteStore, StorePaths};
use crate::settings::{Database, Settings};

/// The database of the service. Clones share it.
#[derive(Clone)]
pub(crate) struct Store(pub(super) Backend);

/// Where the database is.
#[derive(Clone)]
pub(super) enum Backend {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl Store {
    /// Creates what the settings name and does not exist. Returns a description of each part.
    pub(crate) fn create(settings: &Settings) -> Result<Vec<String>, StoreError> {
        match &settings.database {
            Database::Postgres(url) => Ok(vec![PostgresStore::create(url, &settings.postgresql)?]),
            Database::Sqlite(path) => {
                let created = SqliteStore::create(&StorePaths::of(path, settings))?;
                Ok(created.iter().map(|path| path.display().to_string()).collect())
            }
        }
    }

    /// The files of an SQLite database; `None` for PostgreSQL.
    pub(crate) fn files(settings: &Settings) -> Option<StorePaths> {
        match &settings.database {
            Database::Sqlite(path) => Some(StorePaths::of(path, settings)),
            Database::Postgres(_) => None,
        }
    }

    /// Opens the database, migrates it if it has an older version, and makes it agree with the
    /// ledger. Creates neither.
    pub(crate) fn open(settings: &Settings) -> Result<Self, StoreError> {
        Ok(Self(match &settings.database {
            Database::Postgres(url) => Backend::Postgres(PostgresStore::open(url, &settings.postgresql)?),
            Database::Sqlite(path) => Backend::Sqlite(SqliteStore::open(StorePaths::of(path, settings))?),
        }))
    }

    /// The version of the database, and whether it is the latest one. Changes nothing; others may use
    /// the database.
    pub(crate) fn check_version(settings: &Settings) -> Result<(i64, bool), StoreError> {
        match &settings.database {
            Database::Postgres(url) => PostgresStore::check_version(url, &settings.postgresql),
            Database::Sqlite(path) => SqliteStore::check_version(&StorePaths::of(path, settings)),
        }
    }

    /// Closes the database after the writes submitted before. Later reads and writes fail.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.close(),
            Backend::Postgres(store) => {
                store.close();
                Ok(())
            }
        }
    }

    /// Waits for an error after which the database cannot be written any more.
    pub(crate) async fn failure(&self) -> StoreError {
        match &self.0 {
            Backend::Sqlite(store) => store.failure().await,
            Backend::Postgres(store) => store.failure().await,
        }
    }

    /// Checks that the database and the ledger can be written.
    pub(crate) async fn check_writable(&self) -> Result<(), StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.check_writable().await,
            Backend::Postgres(store) => store.check_writable().await,
        }
    }

    /// A directory for large temporary files.
    pub(crate) fn directory(&self) -> PathBuf {
        match &self.0 {
            Backend::Sqlite(store) => store.directory().to_owned(),
            Backend::Postgres(store) => store.directory(),
        }
    }
}
