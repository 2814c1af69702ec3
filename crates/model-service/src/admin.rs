//! Commands of the administrator: backups, the ledger, blocked identities and released serials.
//!
//! All but a restore can run while the service runs.

use std::io::{self, Write as _};
use std::path::Path;

use jiff::Timestamp;
use rustix::process::getuid;

use crate::error::Error;
use crate::settings::{PostgresqlSettings, Settings};
use crate::store::{
    self, Authorship, IdentityState, LedgerEnd, SerialNumber, Store, StoreError, StorePaths, TableDigest,
    WithdrawalError,
};

/// Creates the database for the settings in `file`.
///
/// # Errors
/// [`Error::Settings`] and [`Error::Store`].
pub fn init_store(file: &Path) -> Result<(), Error> {
    for part in Store::create(&Settings::read(file)?)? {
        print(&format!("created {part}"))?;
    }
    Ok(())
}

/// Moves the SQLite database at `from` to the PostgreSQL database at the URL `to`, and prints the
/// number of rows and the hash of each table.
///
/// # Errors
/// [`Error::Store`].
pub fn migrate_store(
    from: &Path,
    ledger: Option<&Path>,
    to: &str,
    password_file: Option<&Path>,
) -> Result<(), Error> {
    let settings = PostgresqlSettings {
        password_file: password_file.map(Path::to_owned),
        ..PostgresqlSettings::default()
    };
    let (digests, stored) = Store::transfer(from, ledger, to, &settings)?;
    for digest in digests {
        let TableDigest { table, rows, hash } = digest;
        print(&format!("{table}: {rows} rows, SHA-256 {hash}"))?;
    }
    print(match stored {
        true => "the database is moved, and both have the same rows",
        false => "nothing was changed: both databases have the same rows",
    })
}

/// Copies the database to the new directory `to`.
///
/// # Errors
/// [`Error::Settings`] and [`Error::Store`].
pub fn backup(file: &Path, to: &Path) -> Result<(), Error> {
    store::back_up(&paths(file, StoreError::BackupByPostgresql)?, to)?;
    print(&format!("the database is copied to {}", to.display()))
}

/// Replaces the database by the copy in the directory `from`, and replays the ledger.
///
/// # Errors
/// [`Error::Settings`] and [`Error::Store`].
pub fn restore(file: &Path, from: &Path, new_ledger: bool) -> Result<(), Error> {
    let restored = store::restore(
        paths(file, StoreError::BackupByPostgresql)?,
        from,
        new_ledger,
        &command(),
    )?;
    print(&match restored.last {
        None => "the backup is restored, with a new ledger".to_owned(),
        Some(LedgerEnd { sequence, time }) => {
            let replayed = sequence.saturating_sub(restored.backup);
            format!(
                "the backup is restored, and {replayed} lines of the ledger were replayed; \
                 the last line is {sequence}, written {time}: serials issued after it are not known"
            )
        }
    })
}

/// Checks every line of the ledger, and prints the last one's number and hash.
///
/// # Errors
/// [`Error::Settings`] and [`Error::Store`], which names the first bad line.
pub fn verify_ledger(file: &Path) -> Result<(), Error> {
    let verified = store::verify_ledger(&paths(file, StoreError::LedgerInPostgresql)?)?;
    print(&format!(
        "{} lines, all valid; SHA-256 of the last one: {}",
        verified.head.sequence, verified.head.hash
    ))?;
    match verified.unknown {
        0 => Ok(()),
        count => print(&format!(
            "the database lacks {count} of them until the service starts"
        )),
    }
}

/// Changes a hardware identity.
#[derive(Clone, Copy, Debug)]
pub enum IdentityChange {
    /// It gets no more serials.
    Block,
    /// It gets serials again.
    Unblock,
}

/// Blocks or unblocks the hardware identity with the key digest `digest`, in either form.
///
/// # Errors
/// [`Error::Settings`], [`Error::Store`] and [`Error::Withdrawal`].
pub fn change_identity(file: &Path, digest: &str, change: IdentityChange, reason: &str) -> Result<(), Error> {
    let authorship = Authorship::new(command(), reason)?;
    let changed = with_store(file, |store| match change {
        IdentityChange::Block => store.block_identity(digest, Timestamp::now().as_second(), authorship),
        IdentityChange::Unblock => store.unblock_identity(digest, authorship),
    })?;
    print(match (change, changed) {
        (IdentityChange::Block, true) => "the identity is blocked",
        (IdentityChange::Block, false) => "the identity was blocked before; nothing was changed",
        (IdentityChange::Unblock, true) => "the identity is no longer blocked",
        (IdentityChange::Unblock, false) => "the identity was not blocked; nothing was changed",
    })
}

/// Prints what is known of a hardware identity.
///
/// # Errors
/// [`Error::Settings`], [`Error::Store`] and [`Error::Withdrawal`].
pub fn show_identity(file: &Path, digest: &str) -> Result<(), Error> {
    let state = with_store(file, |store| store.find_identity(digest))?;
    print(&describe(&state))
}

/// Takes a serial from its device, so that another one can get it.
///
/// # Errors
/// [`Error::Settings`], [`Error::Store`] and [`Error::Withdrawal`].
pub fn release_serial(
    file: &Path,
    brand: String,
    model: String,
    serial: String,
    reason: &str,
) -> Result<(), Error> {
    let authorship = Authorship::new(command(), reason)?;
    let number = SerialNumber { brand, model, serial };
    with_store(file, |store| store.release_serial(&number, authorship))?;
    print("the serial is released")
}

/// The files of an SQLite database; for PostgreSQL the error `otherwise`.
fn paths(file: &Path, otherwise: StoreError) -> Result<StorePaths, Error> {
    Ok(Store::files(&Settings::read(file)?).ok_or(otherwise)?)
}

/// Runs `work` with the open database and closes it.
fn with_store<T>(file: &Path, work: impl FnOnce(&Store) -> Result<T, WithdrawalError>) -> Result<T, Error> {
    let store = Store::open(&Settings::read(file)?)?;
    let result = work(&store);
    let closed: Result<(), StoreError> = store.close();
    let result = result?;
    closed?;
    Ok(result)
}

/// Who runs the command, for the ledger.
pub(crate) fn command() -> String {
    format!("command, uid {}", getuid().as_raw())
}

fn describe(state: &IdentityState) -> String {
    let mut lines = vec![format!("key-digest: {}", state.key_digest)];
    for identity in &state.identities {
        lines.push(format!(
            "imported: hardware-id {:?}, hardware-name {:?}, manufacturer {:?}, issuer {:?}, revision {}, digest {}",
            identity.hardware_id,
            identity.hardware_name,
            identity.manufacturer,
            identity.issuer,
            identity.revision,
            identity.digest,
        ));
    }
    for number in &state.serials {
        lines.push(format!(
            "serial: {:?} in {}/{}",
            number.serial, number.brand, number.model
        ));
    }
    lines.push(match &state.blocked {
        None => "blocked: no".to_owned(),
        Some((since, reason)) => {
            let since =
                Timestamp::from_second(*since).map_or_else(|_| "?".to_owned(), |time| time.to_string());
            format!("blocked: since {since}, {reason:?}")
        }
    });
    lines.join("\n")
}

fn print(text: &str) -> Result<(), Error> {
    writeln!(io::stdout(), "{text}").map_err(Error::Stdout)
}
