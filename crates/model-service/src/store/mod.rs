//! The database: SQLite with a write-ahead log, one connection that writes and as many as needed that read.

mod identities;
mod nonces;
mod registrations;
mod serials;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

pub(crate) use identities::{Identity, IdentityRow, Placed, find_by_digest, place, search};
pub(crate) use nonces::{NonceState, OpenNonces, consume, issue, open_nonces};
pub(crate) use registrations::{Entry, EntryRow, log, recent};
pub(crate) use serials::{Issue, Number, find_issued, holder, insert, number_of};
use writer::Writer;

const SCHEMA: &str = include_str!("schema.sql");
/// The `user_version` of a database with [`SCHEMA`].
const VERSION: i64 = 1;
/// How long a writer waits for another process's transaction, such as that of a large import.
const LOCK_WAIT: Duration = Duration::from_secs(60);
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
    #[error("the database has the version {0}, but this program knows {VERSION} only")]
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
        let connection = connect(path)?;
        Ok(Self {
            path: Arc::new(path.to_owned()),
            writer: Writer::start(connection),
            readers: Arc::default(),
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

/// A connection that may write, to a database that has the schema.
pub(crate) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A nonce that was used must stay used, and a serial that was handed out must be known, after a power cut too.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -64 * 1024)?;
    connection.set_prepared_statement_cache_capacity(64);
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    match transaction.pragma_query_value(None, "user_version", |row| row.get(0))? {
        0 => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        VERSION => {}
        other => return Err(StoreError::Version(other)),
    }
    transaction.commit()?;
    Ok(connection)
}

fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}
