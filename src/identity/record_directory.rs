//! The directory of the record: reads it, and writes it once.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use files::{FileError, NewFile};

#[cfg(feature = "pkcs11")]
use super::record::key_address;
use super::{Record, RecordError};
#[cfg(feature = "pkcs11")]
use crate::pkcs11::KeyAddress;

const FILE: &str = "hardware-identity.json";
/// The private key of the backend `software`.
const KEY_FILE: &str = "hardware-identity-key.pem";
/// The place of a key that a run is about to make in a token.
#[cfg(feature = "pkcs11")]
const PENDING: &str = "hardware-identity.pending.json";
/// Bytes. Far above any record; that of an RSA-3072 key has 1.2 KiB.
const LARGEST: u64 = 64 * 1024;
/// Anybody may read the record; it is public data.
const MODE: u32 = 0o644;

/// The directory of the record.
#[derive(Clone, Debug)]
pub struct RecordDirectory {
    directory: PathBuf,
    earlier: Option<PathBuf>,
}

impl RecordDirectory {
    /// The directory must exist: snapd makes `$SNAP_SAVE_DATA` and `$SNAP_COMMON`. `earlier` is the
    /// directory where the record may be from a time when the device had no `directory`.
    pub fn new(directory: &Path, earlier: Option<&Path>) -> Self {
        RecordDirectory {
            directory: directory.to_owned(),
            earlier: earlier.map(Path::to_owned),
        }
    }

    /// The path of the record.
    pub fn file(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// The path of a new key file.
    #[cfg(feature = "software")]
    pub(super) fn new_key_file(&self) -> PathBuf {
        self.directory.join(KEY_FILE)
    }

    /// The path of the key file, `None` if there is none.
    pub fn key_file(&self) -> Option<PathBuf> {
        let directories = [Some(&self.directory), self.earlier.as_ref()];
        let files = directories
            .into_iter()
            .flatten()
            .map(|directory| directory.join(KEY_FILE));
        // A link without its file counts: it is for the error.
        files.into_iter().find(|file| file.symlink_metadata().is_ok())
    }

    /// Reads the place of a key that a run was about to make.
    #[cfg(feature = "pkcs11")]
    pub(super) fn pending(&self) -> Result<Option<KeyAddress>, RecordError> {
        let path = self.directory.join(PENDING);
        let content = match files::read(&path, LARGEST) {
            Ok(content) => content,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(RecordError::Unreadable(error)),
        };
        let parsed = serde_json::from_slice(&content).map_err(|error| error.to_string());
        let address = parsed.and_then(|file| key_address(&file));
        address
            .map(Some)
            .map_err(|problem| RecordError::Damaged { path, problem })
    }

    /// Writes the place of a key durably, before the key is made.
    #[cfg(feature = "pkcs11")]
    pub(super) fn store_pending(&self, key: &KeyAddress) -> Result<(), RecordError> {
        let members = [
            ("key-label", key.label.as_str().into()),
            ("key-id", key.id.as_str().into()),
        ];
        let content = crate::json::document(&members);
        files::write(&self.directory.join(PENDING), content.as_bytes(), MODE).map_err(RecordError::unwritable)
    }

    /// Removes the pending record, if there is one: the record has its content.
    #[cfg(feature = "pkcs11")]
    pub(super) fn remove_pending(&self) {
        let _ = std::fs::remove_file(self.directory.join(PENDING));
    }

    /// Reads the record, `None` if it does not exist.
    ///
    /// # Errors
    /// [`RecordError::Damaged`], [`RecordError::TooNew`], [`RecordError::Unreadable`].
    pub fn load(&self) -> Result<Option<Record>, RecordError> {
        match (read(&self.file())?, &self.earlier) {
            (None, Some(earlier)) => read(&earlier.join(FILE)),
            (record, _) => Ok(record),
        }
    }

    /// Locks the record, to write it later. The processes that this one starts hold the lock too. Waits for another run that has it locked: `limit`, and ten
    /// seconds more.
    ///
    /// # Errors
    /// [`RecordError::Busy`] and [`RecordError::Unwritable`].
    #[cfg(feature = "pkcs11")]
    pub(super) fn begin(&self, limit: std::time::Duration) -> Result<NewRecord, RecordError> {
        let path = self.file();
        let new = NewFile::create_waiting(&path, MODE, limit + files::LONGEST_WAIT);
        let new = new.map_err(RecordError::unwritable)?;
        new.share_lock().map_err(RecordError::unwritable)?;
        Ok(NewRecord { new, path })
    }

    /// Writes the record durably, unless the directory has one: a record is never replaced. Returns
    /// the one that the directory has afterwards.
    ///
    /// # Errors
    /// [`RecordError::Unwritable`], [`RecordError::Busy`], and those of [`Self::load`].
    pub fn store(&self, record: Record) -> Result<Record, RecordError> {
        let path = self.file();
        // Holds a lock from here on, so that a concurrent run sees the record or waits.
        let new = NewFile::create(&path, MODE).map_err(RecordError::unwritable)?;
        if let Some(existing) = read(&path)? {
            return Ok(existing);
        }
        NewRecord { new, path }.commit(&record)?;
        Ok(record)
    }
}

/// A record that is locked and not yet written.
pub(super) struct NewRecord {
    new: NewFile,
    path: PathBuf,
}

impl NewRecord {
    /// Writes the record durably.
    pub(super) fn commit(self, record: &Record) -> Result<(), RecordError> {
        let NewRecord { mut new, path } = self;
        new.write_all(record.document().as_bytes())
            .map_err(|reason| RecordError::Unwritable(FileError::Unwritable { path, reason }))?;
        new.commit().map_err(RecordError::unwritable)
    }
}

fn read(path: &Path) -> Result<Option<Record>, RecordError> {
    match files::read(path, LARGEST) {
        Ok(content) => Record::parse(path, &content).map(Some),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error @ FileError::TooLarge { .. }) => Err(RecordError::Damaged {
            path: path.to_owned(),
            problem: error.to_string(),
        }),
        Err(error) => Err(RecordError::Unreadable(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SAMPLE: &str = include_str!("../../tests/data/record.json");

    fn directory_with(content: &str) -> (tempfile::TempDir, RecordDirectory) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), content).unwrap();
        let records = RecordDirectory::new(directory.path(), None);
        (directory, records)
    }

    #[test]
    fn a_stored_record_is_loaded_again() {
        let (_directory, sample) = directory_with(SAMPLE);
        let record = sample.load().unwrap().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let records = RecordDirectory::new(directory.path(), None);
        assert_eq!(records.load().unwrap(), None);
        assert_eq!(records.store(record.clone()).unwrap(), record);
        assert_eq!(records.load().unwrap(), Some(record));
        assert_eq!(fs::read_to_string(records.file()).unwrap(), SAMPLE);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_record_is_never_replaced() {
        let (directory, records) = directory_with(SAMPLE);
        let existing = records.load().unwrap().unwrap();
        let mut later = existing.clone();
        later.created = String::new();
        assert_eq!(records.store(later).unwrap(), existing);
        assert_eq!(fs::read_to_string(records.file()).unwrap(), SAMPLE);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_record_of_the_earlier_directory_is_taken_over() {
        let (earlier, sample) = directory_with(SAMPLE);
        let directory = tempfile::tempdir().unwrap();
        let records = RecordDirectory::new(directory.path(), Some(earlier.path()));
        let record = records.load().unwrap().unwrap();
        assert_eq!(Some(&record), sample.load().unwrap().as_ref());
        records.store(record).unwrap();
        assert_eq!(fs::read_to_string(directory.path().join(FILE)).unwrap(), SAMPLE);
    }

    #[test]
    fn a_record_that_is_too_large_is_damaged() {
        let (_directory, records) = directory_with(&" ".repeat(70_000));
        assert!(matches!(records.load(), Err(RecordError::Damaged { .. })));
    }
}
