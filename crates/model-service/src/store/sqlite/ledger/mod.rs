//! The ledger: an append-only log of every issued serial and every change by an administrator.
//!
//! A line is a JSON object with the SHA-256 of the line before it, so that the lines are a chain.
//! The database holds sequence and hash of the last line it has (its head).
//!
//! Lines are written and flushed within the write transaction of the database that has their
//! effect, before the commit. Therefore only one process writes at a time, and after a crash the
//! ledger can have lines that the database lacks, but not the reverse. They are replayed at the
//! next start.

mod end;
mod error;
mod line;
mod replay;
mod segments;
mod verify;

use std::cmp::Ordering;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ledger_chain::Head;
use rusqlite::{Connection, params};

use super::files::{MODE, StorePaths, probe};
use super::savepoint::in_savepoint;
use crate::store::Event;
pub(crate) use end::LedgerEnd;
pub(crate) use error::LedgerError;

use line::{Line, MAX_LINE};
pub(crate) use verify::{VerifiedLedger, for_each_event, verify};

/// Which file the ledger was, and its length, when it was written or read last: device, inode,
/// bytes.
type Known = (u64, u64, u64);

/// The ledger, as the holder of the write transaction sees it.
pub(super) struct Ledger {
    path: PathBuf,
    file_bytes: u64,
    /// `None` if the file does not exist, which it does before the first line.
    known: Option<Known>,
    head: Head,
    /// False before the ledger is read, and after a failure.
    current: bool,
}

impl Ledger {
    pub(super) fn new(paths: &StorePaths) -> Self {
        Self {
            path: paths.ledger.clone(),
            file_bytes: paths.ledger_file_bytes,
            known: None,
            head: Head::default(),
            current: false,
        }
    }

    /// Makes ledger and database agree within a write transaction: replays lines that the database
    /// lacks, which a crash, a failed commit or a restore has left.
    pub(super) fn sync(&mut self, connection: &Connection) -> Result<(), LedgerError> {
        let database = read_head(connection)?;
        if self.current && self.head == database && self.known == find(&self.path)? {
            return Ok(());
        }
        self.current = false;
        self.read_end()?;
        match self.head.sequence.cmp(&database.sequence) {
            Ordering::Less => return Err(self.truncated(&database)),
            Ordering::Equal if self.head.hash != database.hash => {
                return Err(LedgerError::Line {
                    path: self.path.clone(),
                    line: "the last line".to_owned(),
                    reason: "its hash is not the one in the database".to_owned(),
                });
            }
            Ordering::Equal => {}
            Ordering::Greater => {
                // Others in the transaction can be committed without the ledger.
                let count = in_savepoint(connection, || {
                    let count = replay::replay(connection, &self.path, &database)?;
                    write_head(connection, &self.head)?;
                    Ok::<_, LedgerError>(count)
                })?;
                tracing::warn!("replayed {count} lines of the ledger that the database did not have");
            }
        }
        self.current = true;
        Ok(())
    }

    fn truncated(&self, database: &Head) -> LedgerError {
        LedgerError::Truncated {
            path: self.path.clone(),
            last: self.head.sequence,
            expected: database.sequence,
        }
    }

    /// Reads the last line. An incomplete one after it was never acknowledged, and is removed.
    fn read_end(&mut self) -> Result<(), LedgerError> {
        let length = find(&self.path)?.map_or(0, |known| known.2);
        let (head, complete) = last_head(&self.path)?;
        if complete < length {
            tracing::warn!("removing an incomplete line at the end of the ledger");
            OpenOptions::new()
                .write(true)
                .open(&self.path)
                .and_then(|file| {
                    file.set_len(complete)?;
                    file.sync_all()
                })
                .map_err(|reason| self.failed(&reason))?;
        }
        self.head = head;
        self.known = find(&self.path)?;
        Ok(())
    }

    /// Appends the events and flushes them to the disk, and records the new head in the
    /// database. [`sync`](Self::sync) must have succeeded in the same transaction.
    ///
    /// After a failure, what was written is removed again if possible. Lines that stay are replayed
    /// by the next `sync`: what they hold was not answered, but is not given to others.
    pub(super) fn append(&mut self, connection: &Connection, events: &[Event]) -> Result<(), LedgerError> {
        self.current = false;
        if self.known.is_some_and(|(_, _, length)| length >= self.file_bytes) {
            segments::rotate(&self.path).map_err(|reason| self.failed(&reason))?;
            self.known = None;
        }
        let (lines, head) = self.lines(events)?;
        let start = self.known.map_or(0, |(_, _, length)| length);
        self.write(&lines, start).map_err(|reason| self.failed(&reason))?;
        write_head(connection, &head)?;
        self.known = find(&self.path)?;
        self.head = head;
        self.current = true;
        Ok(())
    }

    /// The text of the new lines, and the head after them.
    fn lines(&self, events: &[Event]) -> Result<(Vec<u8>, Head), LedgerError> {
        let time = Timestamp::now().to_string();
        let (mut text, mut head) = (Vec::new(), self.head.clone());
        for event in events {
            let start = text.len();
            let line = Line {
                sequence: head.sequence + 1,
                previous: &head.hash,
                time: &time,
                event,
            };
            serde_json::to_writer(&mut text, &line).map_err(|error| self.failed(&error.into()))?;
            let written = text.get(start..).unwrap_or_default();
            if written.len() > MAX_LINE {
                return Err(self.failed(&io::Error::other("a line is too long")));
            }
            head = head.after(written);
            text.push(b'\n');
        }
        Ok((text, head))
    }

    fn write(&self, lines: &[u8], start: u64) -> io::Result<()> {
        let new = self.known.is_none();
        let mut options = OpenOptions::new();
        options.write(true).create_new(new).mode(MODE);
        let file = options.open(&self.path)?;
        let written = file.write_all_at(lines, start).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // Of no use to others; the next sync finds what stays.
            let _ = file.set_len(start).and_then(|()| file.sync_all());
            return Err(error);
        }
        match new {
            true => files::sync_directory(files::directory_of(&self.path)),
            false => Ok(()),
        }
    }

    /// Tries whether the ledger at `path` could be written.
    pub(super) fn probe(path: &Path) -> Result<(), LedgerError> {
        probe(files::directory_of(path)).map_err(|reason| failed(path, &reason))
    }

    fn failed(&self, reason: &io::Error) -> LedgerError {
        failed(&self.path, reason)
    }
}

/// Where the ledger ends; `None` without lines.
pub(super) fn end(path: &Path) -> Result<Option<LedgerEnd>, LedgerError> {
    let (file, end) = last_line(path)?;
    end.last_line
        .map(|line| LedgerEnd::of_line(&file, &line))
        .transpose()
}

/// The last line, and the length of the complete lines in the file that is written.
fn last_head(path: &Path) -> Result<(Head, u64), LedgerError> {
    let (file, end) = last_line(path)?;
    let head = match end.last_line {
        Some(line) => end::head_of_line(&file, &line)?,
        None => Head::default(),
    };
    Ok((head, end.complete))
}

/// The last line and its file, and the length of the complete lines in the file that is written.
fn last_line(path: &Path) -> Result<(PathBuf, segments::End), LedgerError> {
    let mut end = segments::read_end(path)?;
    if end.last_line.is_none()
        && let Some(older) = segments::rotated(path)?.pop()
    {
        end.last_line = segments::read_end(&older)?.last_line;
        return Ok((older, end));
    }
    Ok((path.to_owned(), end))
}

/// Makes the database one that has no line of the ledger.
pub(super) fn forget(connection: &Connection) -> Result<(), LedgerError> {
    write_head(connection, &Head::default())
}

fn failed(path: &Path, reason: &io::Error) -> LedgerError {
    LedgerError::Failed {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn find(path: &Path) -> Result<Option<Known>, LedgerError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino(), metadata.len()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, &error)),
    }
}

/// Reads the head that a database has.
pub(super) fn read_head(connection: &Connection) -> Result<Head, LedgerError> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Head {
            sequence: row.get(0)?,
            hash: row.get(1)?,
        })
    };
    Ok(connection
        .prepare_cached("SELECT sequence, hash FROM ledger_head")?
        .query_row([], read)?)
}

fn write_head(connection: &Connection, head: &Head) -> Result<(), LedgerError> {
    connection
        .prepare_cached("UPDATE ledger_head SET sequence = ?1, hash = ?2")?
        .execute(params![head.sequence, head.hash])?;
    Ok(())
}
