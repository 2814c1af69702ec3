//! The lines of a ledger, read from its start, with their chain checked.

use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use files::FileError;
use miette::Diagnostic;
use thiserror::Error;

use crate::chain::{Head, Link};

/// The longest line in bytes: twice the size of all headers of an assertion, for escapes, and the rest.
pub const MAX_LINE: u64 = 512 * 1024;

/// Why a ledger cannot be read.
#[derive(Debug, Error, Diagnostic)]
pub enum ChainError {
    /// It cannot be opened.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// Reading fails.
    #[error("cannot read or write the ledger {}: {reason}", path.display())]
    #[diagnostic(code("ledger-file-failed"), help("Check that its disk works and has room"))]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A line was changed, removed, added or moved.
    #[error("the ledger {} is damaged at line {line}: {reason}", path.display())]
    #[diagnostic(
        code("ledger-chain-broken"),
        help("Find out who changed the file, and put it back from a copy")
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// Counted from 1 in the file.
        line: u64,
        /// The cause.
        reason: String,
    },
}

/// Reads the files of a ledger, the oldest first.
#[derive(Debug, Default)]
pub struct ChainReader {
    head: Head,
    /// The file and the number of the last line.
    last: Option<(PathBuf, u64)>,
}

impl ChainReader {
    /// Passes each line of the next file to `take`, without its line feed and after the check that it
    /// follows the one before. `take` returns what is wrong with the line.
    ///
    /// # Errors
    /// If the file cannot be read, or at the first wrong line.
    pub fn read(
        &mut self,
        path: &Path,
        take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), ChainError> {
        self.read_part(path, 0..u64::MAX, take)
    }

    /// As [`ChainReader::read`], for the lines between two offsets in bytes: those that were added to a
    /// file after it was read up to the first one.
    ///
    /// # Errors
    /// As those of [`ChainReader::read`].
    pub fn read_part(
        &mut self,
        path: &Path,
        part: Range<u64>,
        mut take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), ChainError> {
        let failed = |reason| ChainError::Failed {
            path: path.to_owned(),
            reason,
        };
        let mut file = files::open(path)?;
        file.seek(SeekFrom::Start(part.start)).map_err(failed)?;
        let mut reader = BufReader::new(file.take(part.end.saturating_sub(part.start)));
        let first = match &self.last {
            Some((_, last)) if part.start > 0 => last + 1,
            _ => 1,
        };
        for number in first.. {
            let mut line = Vec::new();
            read_line(&mut reader, &mut line).map_err(failed)?;
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
    pub fn into_head(self) -> Head {
        self.head
    }

    fn add(&mut self, path: &Path, number: u64, line: &[u8]) -> Result<(), ChainError> {
        let link = Link::read(line).map_err(|error| broken(path, number, error.to_string()))?;
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
        self.head = link.head(line);
        self.last = Some((path.to_owned(), number));
        Ok(())
    }
}

/// Reads a line with its line feed, if it has one and is not too long.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    reader.take(MAX_LINE + 1).read_until(b'\n', line)
}

fn broken(path: &Path, line: u64, reason: impl Into<String>) -> ChainError {
    ChainError::Broken {
        path: path.to_owned(),
        line,
        reason: reason.into(),
    }
}
