//! An append-only file of JSON lines in the directory of a batch, written by one program at a time.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::LotError;
use crate::lock::lock;

/// Permission bits of a new file.
const MODE: u32 = 0o600;
/// The longest line in bytes: an assertion in JSON, with escapes.
const LONGEST_LINE: u64 = 1 << 20;

/// A file of lines that this process alone writes.
pub(super) struct Journal {
    path: PathBuf,
    /// Locked.
    file: File,
    /// In bytes. All of it is complete lines.
    length: u64,
    /// An incomplete line could not be removed.
    is_broken: bool,
}

impl Journal {
    /// Opens and locks the file, waits up to `wait` for another program that has it, and passes each
    /// line to `take`. An incomplete last line, which a power cut can leave, is removed: nobody was told
    /// of it.
    pub(super) fn open<T: DeserializeOwned>(
        path: &Path,
        wait: Duration,
        take: impl FnMut(u64, T),
    ) -> Result<Self, LotError> {
        let file = files::open_to_append(path, MODE)?;
        match lock(&file, wait) {
            Ok(true) => {}
            Ok(false) => return Err(LotError::Busy(path.to_owned())),
            Err(reason) => return Err(failed(path, reason)),
        }
        let length = read_lines(path, take)?;
        let mut journal = Journal {
            path: path.to_owned(),
            file,
            length,
            is_broken: false,
        };
        let found = journal.file.metadata().map_err(|reason| journal.failed(reason))?;
        if found.len() > length {
            journal.cut()?;
        }
        Ok(journal)
    }

    /// Appends a line. It is on the disk when this returns.
    pub(super) fn append(&mut self, line: &impl Serialize) -> Result<(), LotError> {
        if self.is_broken {
            self.cut()?;
        }
        let mut json = serde_json::to_vec(line).map_err(|error| self.failed(error.into()))?;
        json.push(b'\n');
        let written = self.file.write_all(&json).and_then(|()| self.file.sync_data());
        if let Err(reason) = written {
            self.is_broken = true;
            let _ = self.cut();
            return Err(self.failed(reason));
        }
        self.length += json.len() as u64;
        Ok(())
    }

    /// Removes what is after the last complete line.
    fn cut(&mut self) -> Result<(), LotError> {
        let cut = self
            .file
            .set_len(self.length)
            .and_then(|()| self.file.sync_data());
        self.is_broken = cut.is_err();
        cut.map_err(|reason| self.failed(reason))
    }

    fn failed(&self, reason: io::Error) -> LotError {
        failed(&self.path, reason)
    }
}

fn failed(path: &Path, reason: io::Error) -> LotError {
    LotError::Failed {
        path: path.to_owned(),
        reason,
    }
}

/// Passes each complete line and its number, counted from 1, to `take`. Returns the length of the
/// complete lines in bytes; 0 if the file does not exist.
pub(super) fn read_lines<T: DeserializeOwned>(
    path: &Path,
    mut take: impl FnMut(u64, T),
) -> Result<u64, LotError> {
    let file = match files::open(path) {
        Err(error) if error.is_not_found() => return Ok(0),
        opened => opened?,
    };
    let mut reader = BufReader::new(file);
    let (mut length, mut line) = (0, Vec::new());
    for number in 1.. {
        line.clear();
        let read = (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line);
        let read = read.map_err(|reason| failed(path, reason))?;
        if line.last() != Some(&b'\n') {
            break;
        }
        let entry = serde_json::from_slice(&line).map_err(|error| LotError::Damaged {
            path: path.to_owned(),
            line: number,
            reason: error.to_string(),
        })?;
        take(number, entry);
        length += read as u64;
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use super::*;

    fn lines(path: &Path) -> Vec<u64> {
        let mut lines = Vec::new();
        Journal::open(path, Duration::ZERO, |_, line: u64| lines.push(line)).unwrap();
        lines
    }

    #[test]
    fn an_incomplete_line_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        fs::write(&path, "1\n2\n3").unwrap();
        assert_eq!(lines(&path), [1, 2]);
        let mut journal = Journal::open(&path, Duration::ZERO, |_, _: u64| {}).unwrap();
        journal.append(&4).unwrap();
        drop(journal);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n4\n");
        fs::write(&path, "1\n}\n2\n").unwrap();
        let damaged = Journal::open(&path, Duration::ZERO, |_, _: u64| {});
        assert!(matches!(damaged, Err(LotError::Damaged { line: 2, .. })));
    }

    #[test]
    fn one_program_writes_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let first = Journal::open(&path, Duration::ZERO, |_, _: u64| {}).unwrap();
        let second = Journal::open(&path, Duration::ZERO, |_, _: u64| {});
        assert!(matches!(second, Err(LotError::Busy(_))));
        thread::scope(|scope| {
            let waiting =
                scope.spawn(|| Journal::open(&path, Duration::from_secs(60), |_, _: u64| {}).map(drop));
            drop(first);
            waiting.join().unwrap().unwrap();
        });
    }
}
