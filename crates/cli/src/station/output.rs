//! The assertions of a station that signs at once: a stream in one file, to which each is appended
//! durably.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::LotError;
use super::journal::lock;
use crate::output::MODE;

/// A file that this process alone writes.
pub(super) struct AppendedOutput {
    path: PathBuf,
    /// Locked.
    file: File,
    /// In bytes.
    length: u64,
}

impl AppendedOutput {
    /// Opens and locks the file, or creates it.
    pub(super) fn open(path: &Path, wait: Duration) -> Result<Self, LotError> {
        let file = files::open_to_append(path, MODE)?;
        lock(&file, path, wait)?;
        let mut output = AppendedOutput {
            path: path.to_owned(),
            file,
            length: 0,
        };
        output.measure().map_err(|reason| output.failed(reason))?;
        Ok(output)
    }

    /// The length in bytes. Follows the name of the file: somebody may take the file away while the
    /// station runs.
    pub(super) fn length(&mut self) -> Result<u64, LotError> {
        if !self.is_same().unwrap_or(false) {
            *self = AppendedOutput::open(&self.path, Duration::ZERO)?;
        }
        Ok(self.length)
    }

    /// Appends an assertion. It is on the disk when this returns.
    pub(super) fn append(&mut self, assertion: &str) -> Result<(), LotError> {
        self.write(assertion).map_err(|reason| self.failed(reason))
    }

    /// Appends the last assertion of an earlier process, which started with this length of the file,
    /// unless it is there. A part of it, which a power cut can leave, is removed.
    ///
    /// If the file was replaced meanwhile, it gets the assertion a second time at worst; an import
    /// accepts that.
    pub(super) fn complete(&mut self, assertion: &str, length: u64) -> Result<(), LotError> {
        self.try_complete(assertion, length)
            .map_err(|reason| self.failed(reason))
    }

    fn try_complete(&mut self, assertion: &str, length: u64) -> io::Result<()> {
        let separator = if length > 0 { "\n" } else { "" };
        let whole = format!("{separator}{assertion}");
        let written = self.length.checked_sub(length);
        let Some(written) = written.filter(|&written| written <= whole.len() as u64) else {
            // Others have appended, or have replaced the file.
            return self.write(assertion);
        };
        let mut tail = Vec::new();
        self.file.seek(SeekFrom::Start(length))?;
        (&self.file).take(written).read_to_end(&mut tail)?;
        if tail == whole.as_bytes() {
            return Ok(());
        }
        self.file.set_len(length)?;
        self.length = length;
        self.write(assertion)
    }

    fn write(&mut self, assertion: &str) -> io::Result<()> {
        let separator = if self.length > 0 { "\n" } else { "" };
        let text = format!("{separator}{assertion}");
        let written = self
            .file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_data());
        if let Err(reason) = written {
            let _ = self.file.set_len(self.length);
            return Err(reason);
        }
        self.length += text.len() as u64;
        Ok(())
    }

    fn is_same(&self) -> io::Result<bool> {
        let (named, opened) = (fs::metadata(&self.path)?, self.file.metadata()?);
        Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino()) && opened.len() == self.length)
    }

    fn measure(&mut self) -> io::Result<()> {
        self.length = self.file.metadata()?.len();
        Ok(())
    }

    fn failed(&self, reason: io::Error) -> LotError {
        LotError::Failed {
            path: self.path.clone(),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> AppendedOutput {
        AppendedOutput::open(path, Duration::ZERO).unwrap()
    }

    #[test]
    fn the_last_assertion_is_completed_wherever_the_last_process_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("output");
        let (first, last) = ("first\n\nsignature\n", "last\n\nsignature\n");
        let both = format!("{first}\n{last}");
        for end in first.len()..=both.len() {
            fs::write(&path, &both[..end]).unwrap();
            open(&path).complete(last, first.len() as u64).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), both, "{end}");
        }
        for end in 0..=first.len() {
            fs::write(&path, &first[..end]).unwrap();
            open(&path).complete(first, 0).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), first, "{end}");
        }
        // The file was taken away.
        fs::remove_file(&path).unwrap();
        open(&path).complete(last, 100).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), last);
    }

    #[test]
    fn the_output_may_be_taken_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("output");
        let mut output = open(&path);
        output.append("first\n").unwrap();
        output.append("second\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\n\nsecond\n");
        fs::rename(&path, directory.path().join("taken")).unwrap();
        assert_eq!(output.length().unwrap(), 0);
        output.append("third\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third\n");
    }
}
