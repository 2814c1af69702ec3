//! The lines of a ledger, read from its start, with their chain checked.

use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::chain::{Head, Link};
use super::error::LedgerError;
use super::{MAX_LINE, failed};

/// Reads the files of a ledger, the oldest first.
#[derive(Default)]
pub(crate) struct LedgerReader {
    head: Head,
    /// The file and the number of the last line.
    last: Option<(PathBuf, u64)>,
}

impl LedgerReader {
    /// Passes each line of the next file to `take`, without its line feed and after the check that it
    /// follows the one before. `take` returns what is wrong with the line.
    ///
    /// # Errors
    /// If the file cannot be read, or at the first wrong line.
    pub(crate) fn read(
        &mut self,
        path: &Path,
        mut take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), LedgerError> {
        let mut reader = BufReader::new(files::open(path)?);
        for number in 1.. {
            let mut line = Vec::new();
            read_line(&mut reader, &mut line).map_err(|reason| failed(path, reason))?;
            match line.pop() {
                None => break,
                Some(b'\n') => self.add(path, number, &line)?,
                Some(_) => return Err(broken(path, number, "it is incomplete or too long")),
            }
            take(&line).map_err(|reason| broken(path, number, reason))?;
        }
        Ok(())
    }

    /// The last line of the files.
    pub(super) fn into_head(self) -> Head {
        self.head
    }

    fn add(&mut self, path: &Path, number: u64, line: &[u8]) -> Result<(), LedgerError> {
        let link = Link::read(line).map_err(|reason| broken(path, number, reason))?;
        let expected = self.head.sequence + 1;
        if link.sequence != expected {
            let found = link.sequence;
            let reason = format!("it has the sequence {found} instead of {expected}");
            return Err(broken(path, number, reason));
        }
        if !link.follows(&self.head) {
            return Err(match &self.last {
                Some((path, last)) => broken(path, *last, "the next line has another hash of it"),
                None => broken(path, number, "it is not the first line of a ledger"),
            });
        }
        self.head = Head::of(link.sequence, line);
        self.last = Some((path.to_owned(), number));
        Ok(())
    }
}

/// Reads a line with its line feed, if it has one and is not too long.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    reader.take(MAX_LINE + 1).read_until(b'\n', line)
}

fn broken(path: &Path, line: u64, reason: impl Into<String>) -> LedgerError {
    LedgerError::Broken {
        path: path.to_owned(),
        line,
        reason: reason.into(),
    }
}
