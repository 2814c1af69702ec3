//! The database: two SQLite files with a write-ahead log. One thread writes nonces and serials; imports write the
//! identities, which have a file of their own so that devices need not wait for an import.

mod identities;
mod nonces;
mod registrations;
mod serials;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::oneshot;

pub(crate) use identities::{Identity, IdentityRow, Placed, Placing, find_by_digest, search};
pub(crate) use nonces::{NonceState, OpenNonces, consume, issue, open_nonces};
pub(crate) use registrations::{Entry, EntryRow, log, recent};
pub(crate) use serials::{Issue, Number, find_issued, holder, insert, number_of};
use writer::Writer;

const SCHEMA: &str = include_str!("schema.sql");
const IDENTITIES: &str = include_str!("identities.sql");
/// The `user_version` of files with these schemas.
const VERSION: i64 = 2;
/// How long others' transactions are waited for.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// How long an import waits for another one, which may be large.
const IMPORT_WAIT: Duration = Duration::from_secs(600);
/// Bytes of a log that stay on the disk after what it held went into the database.
const LOG_KEPT: i64 = 64 * 1024 * 1024;
/// Reading connections that are kept for later.
const KEPT_READERS: usize = 16;

/// Why the database could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// What SQLite says.
    #[error("the database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The transaction was not committed; the log says why.
    #[error("the database could not be written")]
    NotWritten,
    /// A database of another release.
    #[error(
        "the database has the version {0}, but this program knows {VERSION} only. Use the release that made it, or a \
         new database"
    )]
    Version(i64),
}

/// The database of a running service.
#[derive(Clone)]
pub(crate) struct Store {
    path: Arc<PathBuf>,
    writer: Writer,
    readers: Arc<Mutex<Vec<Connection>>>,
}

impl Store {
    /// Opens the database, and makes it where there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = connect(path, SCHEMA, LOCK_WAIT)?;
        connect_to_import(path)?;
        Ok(Self {
            path: Arc::new(path.to_owned()),
            writer: Writer::start(connection),
            // Opened now, so that what keeps it from reading is known at the start.
            readers: Arc::new(Mutex::new(vec![open_reader(path)?])),
        })
    }

    /// Runs `job` in a transaction that is on the disk when the result arrives; where `job` fails nothing of
    /// it remains. Await the result, or take it with `blocking_recv` in a thread of its own; see [`received`].
    pub(crate) fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, StoreError>> {
        self.writer.submit(job)
    }

    /// Like [`write`](Self::write), from a thread that may wait.
    pub(crate) fn write_blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        received(self.write(job).blocking_recv())
    }

    /// Runs `job` with a connection that sees what was committed before; in a thread that may wait.
    pub(crate) fn read<T>(
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
}

/// What a write gave, where the transaction may have failed.
pub(crate) fn received<T>(
    answer: Result<Result<T, StoreError>, oneshot::error::RecvError>,
) -> Result<T, StoreError> {
    answer.unwrap_or(Err(StoreError::NotWritten))
}

/// A connection for an import to the identities of the database at `path`.
pub(crate) fn connect_to_import(path: &Path) -> Result<Connection, StoreError> {
    connect(&identities_file(path), IDENTITIES, IMPORT_WAIT)
}

/// `NAME.identities.sqlite` beside `NAME.sqlite`.
fn identities_file(path: &Path) -> PathBuf {
    path.with_extension("identities.sqlite")
}

/// A connection that may write, to a file that has the schema.
fn connect(path: &Path, schema: &str, wait: Duration) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(wait)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A nonce that was used must stay used, and what was handed out or imported must be known, after a power cut too.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -64 * 1024)?;
    connection.pragma_update(None, "journal_size_limit", LOG_KEPT)?;
    connection.set_prepared_statement_cache_capacity(64);
    if version(&connection)? == 0 {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been faster.
        if version(&transaction)? == 0 {
            transaction.execute_batch(schema)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()?;
    }
    match version(&connection)? {
        VERSION => Ok(connection),
        other => Err(StoreError::Version(other)),
    }
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// A connection that sees both files.
fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.set_prepared_statement_cache_capacity(64);
    let identities = identities_file(path).into_os_string();
    connection.execute("ATTACH ?1 AS imported", [identities.to_string_lossy()])?;
    Ok(connection)
}
