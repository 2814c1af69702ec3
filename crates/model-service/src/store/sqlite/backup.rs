//! Backups of the database, and restoring one.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use files::NewFile;
use ledger_chain::Head;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tempfile::TempPath;

use super::database::{SqliteStore, connect};
use super::files::{self as database_files, Lock, MODE, StorePaths, not_written};
use super::ledger::{self, Ledger, LedgerEnd, LedgerError, VerifiedLedger};
use super::migrations::{self, Schema};
use crate::store::{Event, StoreError};

/// The files of a backup: registrations, then identities.
const NAMES: [&str; 2] = ["registrations.sqlite", "identities.sqlite"];
const DIRECTORY_MODE: u32 = 0o700;
/// How long a backup waits for a lock. It only reads, so that it hardly ever waits.
const WAIT: Duration = Duration::from_secs(60);

/// Copies both files of the database to the new directory `to`, complete or not at all; the copies
/// are on the disk when this returns. Each is consistent, also while others write.
pub(crate) fn back_up(paths: &StorePaths, to: &Path) -> Result<(), StoreError> {
    let _lock = Lock::shared(paths)?;
    let taken = fs::read_dir(to).map_or(to.symlink_metadata().is_ok(), |mut entries| {
        entries.next().is_some()
    });
    if taken {
        return Err(StoreError::BackupExists { path: to.to_owned() });
    }
    let failed = |reason: io::Error| not_written(to, &reason);
    let parent = files::directory_of(to);
    let new = tempfile::Builder::new()
        .prefix(".model-service-")
        .permissions(Permissions::from_mode(DIRECTORY_MODE))
        .tempdir_in(parent)
        .map_err(failed)?;
    // The identities last: the copy has all that the copied registrations name.
    for (path, name) in paths.databases().iter().zip(NAMES) {
        if !path.exists() {
            return Err(StoreError::Missing { path: path.clone() });
        }
        let connection = connect(path, WAIT)?;
        migrations::check_version(&connection, path)?;
        database_files::copy_database(&connection, &new.path().join(name))?;
    }
    fs::rename(new.path(), to).map_err(failed)?;
    // It was renamed, so there is nothing to remove.
    let _ = new.keep();
    files::sync_directory(parent).map_err(failed)
}

/// What a restore did.
pub(crate) struct Restored {
    /// The last line of the ledger that the backup had.
    pub(crate) backup: u64,
    /// The last line that was replayed; `None` if the ledger had none.
    pub(crate) last: Option<LedgerEnd>,
}

/// Replaces the database by the backup in the directory `from`, and replays the ledger. Open nonces
/// are deleted, since the backup does not have which of them were used later.
///
/// Without the ledger, `new_ledger` begins a new one: serials that were issued after the backup are
/// not known then.
pub(crate) fn restore(
    paths: StorePaths,
    from: &Path,
    new_ledger: bool,
    by: &str,
) -> Result<Restored, StoreError> {
    let lock = Lock::exclusive(&paths)?;
    let copies = NAMES.map(|name| from.join(name));
    let backup_head = check(&copies[0])?;
    let backup = backup_head.sequence;
    check(&copies[1])?;
    let last = ledger::end(&paths.ledger)?;
    match (last.as_ref().map_or(0, |last| last.sequence), new_ledger) {
        (last, false) if last < backup => {
            return Err(LedgerError::Missing {
                path: paths.ledger,
                last,
                backup,
            }
            .into());
        }
        (1.., true) => return Err(LedgerError::Exists { path: paths.ledger }.into()),
        // A damaged ledger shows before anything is changed.
        (_, false) => drop(ledger::verify(&backup_head, &paths.ledger)?),
        (0, true) => {}
    }
    // Both are on the disk, and agree with the ledger, before one takes its place.
    let registrations = stage(&copies[0], &paths.registrations)?;
    let identities = stage(&copies[1], &paths.identities())?;
    let prepared = prepare(&registrations, &paths, new_ledger);
    // Left if it failed.
    database_files::remove_companions(&registrations)?;
    prepared?;
    for (path, new) in paths.databases().into_iter().zip([registrations, identities]) {
        database_files::remove_companions(&path)?;
        new.persist(&path)
            .map_err(|error| not_written(&path, &error.error))?;
        files::sync_directory(paths.directory()).map_err(|reason| not_written(&path, &reason))?;
    }
    let store = SqliteStore::open_locked(paths, lock)?;
    let by = by.to_owned();
    let recorded = store.write_blocking(move |_, events| {
        events.push(Event::DatabaseRestored {
            backup_sequence: backup,
            by,
        });
        Ok(())
    });
    let closed = store.close();
    recorded?;
    closed?;
    Ok(Restored { backup, last })
}

/// Fails unless the file is an intact database that this program can serve. Returns the last line
/// of the ledger that it has.
fn check(copy: &Path) -> Result<Head, StoreError> {
    let invalid = |reason: String| StoreError::BackupInvalid {
        path: copy.to_owned(),
        reason,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags).map_err(|error| invalid(error.to_string()))?;
    migrations::check_version(&connection, copy).map_err(|error| match error {
        StoreError::Failed(reason) => invalid(reason),
        // Its advice is for the database in use.
        StoreError::Empty { .. } => invalid("it holds no database of the model service".to_owned()),
        other => other,
    })?;
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| invalid(error.to_string()))?;
    if found != "ok" {
        return Err(invalid(found));
    }
    // The identities have none, and registrations from before the ledger neither.
    match connection.table_exists(None, "ledger_head")? {
        true => Ok(ledger::read_head(&connection)?),
        false => Ok(Head::default()),
    }
}

/// Copies a file beside its place. The copy is removed if it does not get its place.
fn stage(copy: &Path, path: &Path) -> Result<TempPath, StoreError> {
    let staged = path.with_extension("restored.sqlite");
    let failed = |reason: io::Error| not_written(&staged, &reason);
    // Left by a restore that was killed.
    database_files::remove_companions(&staged)?;
    let mut new = NewFile::create(&staged, MODE).map_err(|error| failed(io::Error::other(error)))?;
    let mut file = files::open(copy).map_err(|error| failed(io::Error::other(error)))?;
    io::copy(&mut file, &mut new).map_err(failed)?;
    new.commit().map_err(|error| failed(io::Error::other(error)))?;
    TempPath::try_from_path(&staged).map_err(failed)
}

/// Makes a copy of the registrations the database to serve: migrates it, deletes its nonces, and
/// replays the ledger or makes it one for a new ledger. It is complete without other files when this
/// returns.
fn prepare(staged: &Path, paths: &StorePaths, new_ledger: bool) -> Result<(), StoreError> {
    let mut connection = connect(staged, WAIT)?;
    Schema::Registrations.migrate(&mut connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("DELETE FROM nonces", [])?;
    match new_ledger {
        true => ledger::forget(&transaction)?,
        false => Ledger::new(paths).sync(&transaction)?,
    }
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error.into())
}

/// Checks every line of the ledger, also while others write it.
pub(crate) fn verify_ledger(paths: &StorePaths) -> Result<VerifiedLedger, StoreError> {
    let _lock = Lock::shared(paths)?;
    if !paths.registrations.exists() {
        return Err(StoreError::Missing {
            path: paths.registrations.clone(),
        });
    }
    let connection = connect(&paths.registrations, WAIT)?;
    if migrations::check_version(&connection, &paths.registrations)? != migrations::VersionState::Latest {
        return Err(StoreError::NotMigrated {
            path: paths.registrations.clone(),
        });
    }
    let head = ledger::read_head(&connection).map_err(StoreError::from)?;
    Ok(ledger::verify(&head, &paths.ledger)?)
}
