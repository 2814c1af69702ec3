//! Opening and closing the database, and running reads and writes on it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::clock::Clock;
use super::files::{self, Lock, OpenedFiles, StorePaths};
use super::ledger::Ledger;
use super::migrations::{self, Schema, VersionState};
use super::sessions::PageMemory;
use super::writer::Writer;
use crate::store::readiness::LastProbe;
use crate::store::{Event, StoreError};

/// How long a transaction waits for those of others.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(60);
/// How long an import waits for another one before it looks whether it has to end.
const IMPORT_WAIT: Duration = Duration::from_millis(200);
/// Bytes of a write-ahead log that stay on the disk after a checkpoint.
const LOG_KEPT: i64 = 64 * 1024 * 1024;
/// Idle connections for reading that are kept.
const KEPT_READERS: usize = 16;

/// The database of the service. Clones share it.
#[derive(Clone)]
pub(crate) struct SqliteStore {
    paths: Arc<StorePaths>,
    writer: Writer,
    readers: Arc<Mutex<Vec<Connection>>>,
    opened: Arc<OpenedFiles>,
    clock: Arc<Clock>,
    last_probe: Arc<LastProbe>,
    page_memory: Arc<PageMemory>,
    _lock: Arc<Lock>,
}

impl SqliteStore {
    /// Creates the files of the database that do not exist. Returns their paths.
    pub(in crate::store) fn create(paths: &StorePaths) -> Result<Vec<PathBuf>, StoreError> {
        let _lock = Lock::exclusive(paths)?;
        let mut created = Vec::new();
        for (path, schema) in with_schemas(paths) {
            if path.exists() {
                continue;
            }
            files::create(&path)?;
            let made = connect(&path, LOCK_WAIT).and_then(|mut connection| {
                schema.migrate(&mut connection)?;
                close(connection)
            });
            made.map_err(|error| error.while_opening(&path))?;
            created.push(path);
        }
        match created.is_empty() {
            false => Ok(created),
            true => Err(StoreError::Exists {
                path: paths.registrations.clone(),
            }),
        }
    }

    /// The lower version of the two files, and whether it is the latest one.
    pub(in crate::store) fn check_version(paths: &StorePaths) -> Result<(i64, bool), StoreError> {
        // First, so that no lock is made beside a database that does not exist.
        OpenedFiles::at(&paths.databases())?;
        let _lock = Lock::shared(paths)?;
        let mut lowest = migrations::LATEST;
        for path in paths.databases() {
            if let VersionState::Older(version) = version(&path)? {
                lowest = lowest.min(version);
            }
        }
        Ok((lowest, lowest == migrations::LATEST))
    }

    /// Opens the database, migrates it if it has an older version, and makes it agree with the
    /// ledger. Creates neither file.
    pub(in crate::store) fn open(paths: StorePaths) -> Result<Self, StoreError> {
        let lock = Lock::shared(&paths)?;
        Self::open_locked(paths, lock)
    }

    /// As [`open`](Self::open), with the lock.
    pub(super) fn open_locked(paths: StorePaths, lock: Lock) -> Result<Self, StoreError> {
        let path = paths.registrations.clone();
        let opened = || {
            let opened = Arc::new(OpenedFiles::at(&paths.databases())?);
            let lock = migrate(&paths, lock)?;
            let connection = connect(&paths.registrations, LOCK_WAIT)?;
            // Opened now, so that an error shows when the service starts.
            let reader = open_reader(&paths)?;
            let ledger = Ledger::new(&paths);
            Ok(Self {
                writer: Writer::start(connection, ledger, Arc::clone(&opened))?,
                paths: Arc::new(paths),
                readers: Arc::new(Mutex::new(vec![reader])),
                opened,
                clock: Arc::new(Clock::new()),
                last_probe: Arc::default(),
                page_memory: Arc::new(PageMemory::new()),
                _lock: Arc::new(lock),
            })
        };
        opened().map_err(|error: StoreError| error.while_opening(&path))
    }

    /// Closes the database after the writes submitted before, so that each of its files is complete
    /// without others beside it. Later reads and writes fail.
    pub(in crate::store) fn close(&self) -> Result<(), StoreError> {
        let writer = self.writer.close();
        drop(self.readers().drain(..));
        if let Some(connection) = writer {
            // Not into another file that is there now.
            self.opened.check()?;
            close(connection)?;
            close(connect(&self.paths.identities(), LOCK_WAIT)?)?;
        }
        Ok(())
    }

    /// Waits until the database cannot be written any more because it was replaced.
    pub(in crate::store) async fn failure(&self) -> StoreError {
        self.writer.failure().await
    }

    pub(super) fn paths(&self) -> &StorePaths {
        &self.paths
    }

    pub(super) fn clock(&self) -> Arc<Clock> {
        Arc::clone(&self.clock)
    }

    pub(super) fn page_memory(&self) -> &PageMemory {
        &self.page_memory
    }

    pub(super) fn last_probe(&self) -> &LastProbe {
        &self.last_probe
    }

    /// The directory that the database is in.
    pub(in crate::store) fn directory(&self) -> &Path {
        self.paths.directory()
    }

    /// Fails if the files of the database were replaced after they were opened.
    pub(super) fn check_files(&self) -> Result<(), StoreError> {
        self.opened.check()
    }

    /// Runs `job` in a transaction, which is on the disk when the result arrives, and the events
    /// that it adds are in the ledger. Nothing of a job that fails is kept.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection, &mut Vec<Event>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        received(self.writer.submit(job).await)
    }

    /// As [`write`](Self::write); blocks the calling thread.
    pub(super) fn write_blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection, &mut Vec<Event>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        received(self.writer.submit(job).blocking_recv())
    }

    /// Runs `job` on a connection that sees everything committed before; blocks the calling thread.
    pub(super) fn read_blocking<T>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let kept = self.readers().pop();
        let reader = match kept {
            Some(reader) => reader,
            None => open_reader(&self.paths)?,
        };
        let result = job(&reader)?;
        let mut readers = self.readers();
        if readers.len() < KEPT_READERS {
            readers.push(reader);
        }
        Ok(result)
    }

    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.check_files()?;
        connect(&self.paths.identities(), IMPORT_WAIT)
    }
}

fn received<T>(result: Result<Result<T, StoreError>, oneshot::error::RecvError>) -> Result<T, StoreError> {
    result.unwrap_or(Err(StoreError::Interrupted))
}

fn with_schemas(paths: &StorePaths) -> [(PathBuf, Schema); 2] {
    [
        (paths.identities(), Schema::Identities),
        (paths.registrations.clone(), Schema::Registrations),
    ]
}

/// Migrates the files that have an older version, after a copy of each was made. Needs the lock
/// alone meanwhile.
fn migrate(paths: &StorePaths, lock: Lock) -> Result<Lock, StoreError> {
    let mut older = Vec::new();
    for (path, schema) in with_schemas(paths) {
        files::restrict(&path)?;
        if let VersionState::Older(version) = version(&path)? {
            older.push((path, schema, version));
        }
    }
    if older.is_empty() {
        return Ok(lock);
    }
    drop(lock);
    let lock = Lock::exclusive(paths)?;
    for (path, schema, version) in older {
        let mut connection = connect(&path, LOCK_WAIT)?;
        // Another process may have migrated it before the lock was taken.
        if migrations::check_version(&connection, &path)? == VersionState::Latest {
            continue;
        }
        let copy = migrations::back_up_before(&connection, &path)?;
        schema.migrate(&mut connection)?;
        tracing::info!(
            "migrated {} from version {version} to {}; {} is a copy from before",
            path.display(),
            migrations::LATEST,
            copy.display(),
        );
    }
    lock.share(paths)
}

fn version(path: &Path) -> Result<VersionState, StoreError> {
    migrations::check_version(&connect(path, LOCK_WAIT)?, path).map_err(|error| error.while_opening(path))
}

/// A connection for writing, to a file that exists.
pub(super) fn connect(path: &Path, wait: Duration) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(wait)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // After a power cut too, a used nonce stays used, and issued serials and imports are known.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -64 * 1024)?;
    connection.pragma_update(None, "journal_size_limit", LOG_KEPT)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Copies the write-ahead log into the database without waiting for others, and closes the
/// connection. SQLite removes the log when the last connection to the file is closed.
fn close(connection: Connection) -> Result<(), StoreError> {
    let (in_log, copied): (i64, i64) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok((row.get(1)?, row.get(2)?))
    })?;
    if copied < in_log {
        tracing::warn!("another process uses the database; its last changes stay in the -wal file");
    }
    connection.close().map_err(|(_, error)| error.into())
}

/// A connection for reading both files.
fn open_reader(paths: &StorePaths) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&paths.registrations, flags)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.set_prepared_statement_cache_capacity(64);
    let identities = paths.identities().into_os_string();
    connection.execute("ATTACH ?1 AS imported", [identities.to_string_lossy()])?;
    Ok(connection)
}

#[cfg(test)]
pub(super) fn in_memory() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    Schema::Registrations.migrate(&mut connection).unwrap();
    connection
}
