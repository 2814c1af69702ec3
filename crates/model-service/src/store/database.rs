//! Opening the database, and running reads and writes on it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::error::StoreError;
use super::writer::Writer;

pub(super) const SCHEMA: &str = include_str!("schema.sql");
const IDENTITIES: &str = include_str!("identities.sql");
/// The `user_version` of files with these schemas.
const VERSION: i64 = 2;
/// How long a transaction waits for those of others.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// How long an import waits for another one, which may be large.
const IMPORT_WAIT: Duration = Duration::from_secs(600);
/// Bytes of a write-ahead log that stay on the disk after a checkpoint.
const LOG_KEPT: i64 = 64 * 1024 * 1024;
/// Idle connections for reading that are kept.
const KEPT_READERS: usize = 16;

/// The database of the service. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    path: Arc<PathBuf>,
    writer: Writer,
    readers: Arc<Mutex<Vec<Connection>>>,
}

impl Store {
    /// Opens the database, and creates it if it does not exist.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = || {
            let connection = connect(path, SCHEMA, LOCK_WAIT)?;
            connect(&identities_file(path), IDENTITIES, IMPORT_WAIT)?;
            Ok(Self {
                path: Arc::new(path.to_owned()),
                writer: Writer::start(connection),
                // Opened now, so that an error shows when the service starts.
                readers: Arc::new(Mutex::new(vec![open_reader(path)?])),
            })
        };
        opened().map_err(|error: StoreError| error.while_opening(path))
    }

    /// The directory that the database is in.
    pub(crate) fn directory(&self) -> &Path {
        files::directory_of(&self.path)
    }

    /// Runs `job` in a transaction, which is on the disk when the result arrives. Nothing of a job
    /// that fails is kept.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        received(self.writer.submit(job).await)
    }

    /// As [`write`](Self::write); blocks the calling thread.
    pub(super) fn write_blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        received(self.writer.submit(job).blocking_recv())
    }

    /// Runs `job` on a connection that sees everything committed before; blocks the calling thread.
    pub(super) fn read_blocking<T>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match kept {
            Some(reader) => reader,
            None => open_reader(&self.path)?,
        };
        let result = job(&reader)?;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < KEPT_READERS {
            readers.push(reader);
        }
        Ok(result)
    }

    /// As [`read_blocking`](Self::read_blocking), in a thread of its own.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let read = spawn_blocking(move || store.read_blocking(job));
        read.await.unwrap_or(Err(StoreError::Interrupted))
    }

    /// A connection for an import, which writes the file of the identities.
    pub(super) fn connect_for_import(&self) -> Result<Connection, StoreError> {
        connect(&identities_file(&self.path), IDENTITIES, IMPORT_WAIT)
    }
}

fn received<T>(result: Result<Result<T, StoreError>, oneshot::error::RecvError>) -> Result<T, StoreError> {
    result.unwrap_or(Err(StoreError::Interrupted))
}

/// `NAME.identities.sqlite` beside `NAME.sqlite`.
fn identities_file(path: &Path) -> PathBuf {
    path.with_extension("identities.sqlite")
}

/// A connection for writing, to a file that has the schema.
fn connect(path: &Path, schema: &str, wait: Duration) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(wait)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // After a power cut too, a used nonce stays used, and issued serials and imports are known.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -64 * 1024)?;
    connection.pragma_update(None, "journal_size_limit", LOG_KEPT)?;
    connection.set_prepared_statement_cache_capacity(64);
    if version(&connection)? == 0 {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // A concurrent process may have created the schema.
        if version(&transaction)? == 0 {
            transaction.execute_batch(schema)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()?;
    }
    match version(&connection)? {
        VERSION => Ok(connection),
        found => Err(StoreError::Version {
            found,
            supported: VERSION,
        }),
    }
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// A connection for reading both files.
fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.set_prepared_statement_cache_capacity(64);
    let identities = identities_file(path).into_os_string();
    connection.execute("ATTACH ?1 AS imported", [identities.to_string_lossy()])?;
    Ok(connection)
}
