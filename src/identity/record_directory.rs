//! The directory of the record: reads it, and writes it once.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use files::{FileError, NewFile};

use super::{Record, RecordError};

const FILE: &str = "hardware-identity.json";
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

    /// Writes the record durably, unless the directory has one: a record is never replaced. Returns
    /// the one that the directory has afterwards.
    ///
    /// # Errors
    /// [`RecordError::Unwritable`], [`RecordError::Busy`], and those of [`Self::load`].
    pub fn store(&self, record: Record) -> Result<Record, RecordError> {
        let path = self.file();
        // Holds a lock from here on, so that a concurrent run sees the record or waits.
        let mut new = NewFile::create(&path, MODE).map_err(RecordError::unwritable)?;
        if let Some(existing) = read(&path)? {
            return Ok(existing);
        }
        new.write_all(record.document().as_bytes())
            .map_err(|reason| RecordError::Unwritable(FileError::Unwritable { path, reason }))?;
        new.commit().map_err(RecordError::unwritable)?;
        Ok(record)
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
        let later = Record {
            created: String::new(),
            ..existing.clone()
        };
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
