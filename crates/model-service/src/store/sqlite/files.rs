//! The files of the database: paths, permissions, the lock, and copies.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::settings::Settings;
use crate::store::StoreError;

/// The permission bits of all files: they are for their owner alone.
pub(super) const MODE: u32 = 0o600;
/// Bytes in a file that tries whether there is room.
const PROBE: usize = 64 * 1024;
/// The suffixes of the files that SQLite makes beside a database.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Where the database and the ledger are.
#[derive(Clone, Debug)]
pub(crate) struct StorePaths {
    /// The file with nonces, serials and the log.
    pub(super) registrations: PathBuf,
    pub(super) ledger: PathBuf,
    /// The size in bytes from which a file of the ledger is followed by another one.
    pub(super) ledger_file_bytes: u64,
}

impl StorePaths {
    /// The database at `path`, and the ledger as in the settings.
    pub(in crate::store) fn of(path: &Path, settings: &Settings) -> Self {
        Self {
            ledger_file_bytes: settings.limits.ledger_file_bytes,
            ..Self::at(path, settings.ledger.as_deref())
        }
    }

    /// The database at `path`, and its ledger beside it or at `ledger`.
    pub(in crate::store) fn at(path: &Path, ledger: Option<&Path>) -> Self {
        let beside = || path.with_extension("ledger.jsonl");
        Self {
            registrations: path.to_owned(),
            ledger: ledger.map_or_else(beside, Path::to_owned),
            ledger_file_bytes: u64::MAX,
        }
    }

    /// `NAME.identities.sqlite` beside `NAME.sqlite`.
    pub(super) fn identities(&self) -> PathBuf {
        self.registrations.with_extension("identities.sqlite")
    }

    pub(super) fn databases(&self) -> [PathBuf; 2] {
        [self.registrations.clone(), self.identities()]
    }

    /// The directory of the database.
    pub(super) fn directory(&self) -> &Path {
        files::directory_of(&self.registrations)
    }

    fn lock(&self) -> PathBuf {
        self.registrations.with_extension("lock")
    }
}

/// The lock that every process with an open database shares, and that a restore or a migration has
/// alone.
///
/// It is a file of its own: to close a file of the database would drop the locks of SQLite, which
/// belong to the process (fcntl).
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Waits until no restore or migration runs.
    pub(super) fn shared(paths: &StorePaths) -> Result<Self, StoreError> {
        let (path, file) = open_lock(paths)?;
        file.lock_shared().map_err(|reason| not_opened(&path, &reason))?;
        Ok(Self(file))
    }

    /// Fails if another process has the database open.
    pub(super) fn exclusive(paths: &StorePaths) -> Result<Self, StoreError> {
        let (path, file) = open_lock(paths)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
                path: paths.registrations.clone(),
            }),
            Err(TryLockError::Error(reason)) => Err(not_opened(&path, &reason)),
        }
    }

    /// Lets others open the database.
    pub(super) fn share(self, paths: &StorePaths) -> Result<Self, StoreError> {
        self.0
            .lock_shared()
            .map_err(|reason| not_opened(&paths.lock(), &reason))?;
        Ok(self)
    }
}

fn open_lock(paths: &StorePaths) -> Result<(PathBuf, File), StoreError> {
    let path = paths.lock();
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .open(&path);
    match opened {
        Ok(file) => Ok((path, file)),
        Err(reason) => Err(not_opened(&path, &reason)),
    }
}

/// Which file is at a path: device and inode.
type FileId = (u64, u64);

/// The files that were opened, to notice that others are at their paths.
#[derive(Debug)]
pub(super) struct OpenedFiles(Vec<(PathBuf, FileId)>);

impl OpenedFiles {
    /// The files at these paths. SQLite has to open them after this, so that one that is replaced
    /// in between is noticed too.
    pub(super) fn at(paths: &[PathBuf]) -> Result<Self, StoreError> {
        let mut opened = Vec::new();
        for path in paths {
            match file_id(path) {
                Ok(id) => opened.push((path.clone(), id)),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Err(StoreError::Missing { path: path.clone() });
                }
                Err(reason) => return Err(not_opened(path, &reason)),
            }
        }
        Ok(Self(opened))
    }

    /// Fails if another file or none is at one of the paths.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        for (path, id) in &self.0 {
            if file_id(path).ok() != Some(*id) {
                return Err(StoreError::Replaced { path: path.clone() });
            }
        }
        Ok(())
    }
}

fn file_id(path: &Path) -> io::Result<FileId> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Takes the permissions of others from the database and the files beside it. SQLite gives the
/// permissions of the database to files that it makes.
pub(super) fn restrict(path: &Path) -> Result<(), StoreError> {
    let companions = COMPANIONS.map(|suffix| companion(path, suffix));
    for file in std::iter::once(path.to_owned()).chain(companions) {
        let restricted = match fs::metadata(&file) {
            Ok(metadata) if metadata.mode() & 0o077 == 0 => Ok(()),
            Ok(_) => fs::set_permissions(&file, Permissions::from_mode(MODE)),
            Err(error) => Err(error),
        };
        match restricted {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(not_opened(&file, &error)),
            _ => {}
        }
    }
    Ok(())
}

fn companion(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Removes what SQLite left beside a database that is about to be replaced: it would be taken for
/// changes of the new one.
pub(super) fn remove_companions(path: &Path) -> Result<(), StoreError> {
    for suffix in COMPANIONS {
        let file = companion(path, suffix);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(not_written(&file, &error)),
            _ => {}
        }
    }
    files::sync_directory(files::directory_of(path)).map_err(|reason| not_written(path, &reason))
}

/// Creates an empty file for a database.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)
        .map(drop)
        .map_err(|reason| not_written(path, &reason))
}

/// Writes a consistent copy of a database to `to` and replaces what is there; the copy is on the
/// disk when this returns. Others can read and write the database meanwhile.
pub(super) fn copy_database(connection: &Connection, to: &Path) -> Result<(), StoreError> {
    let directory = files::directory_of(to);
    let failed = |reason: io::Error| not_written(to, &reason);
    // VACUUM INTO demands an empty file or none, and its name must be UTF-8 text.
    let new = tempfile::Builder::new()
        .prefix(".model-service-")
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(directory)
        .map_err(failed)?
        .into_temp_path();
    let name = new.to_str().ok_or_else(|| StoreError::NotWritten {
        path: to.to_owned(),
        reason: "the path is not UTF-8 text".to_owned(),
    })?;
    connection.execute("VACUUM INTO ?1", [name])?;
    files::open(&new)
        .map_err(io::Error::other)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    new.persist(to).map_err(|error| failed(error.error))?;
    files::sync_directory(directory).map_err(failed)
}

/// Writes and flushes a file in a directory, and removes it again, to find out whether there is
/// room for registrations.
pub(super) fn probe(directory: &Path) -> io::Result<()> {
    let mut file = tempfile::tempfile_in(directory)?;
    file.write_all(&vec![0; PROBE])?;
    file.sync_all()
}

pub(super) fn not_opened(path: &Path, reason: &io::Error) -> StoreError {
    StoreError::NotOpened {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

pub(super) fn not_written(path: &Path, reason: &io::Error) -> StoreError {
    StoreError::NotWritten {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
