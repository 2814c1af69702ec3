//! Reading the whole ledger and checking every line of it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use ledger_chain::{Head, Link};

use super::error::LedgerError;
use super::line::MAX_LINE;
use super::{failed, segments};

/// A ledger without a wrong line.
pub(crate) struct VerifiedLedger {
    /// The last line.
    pub(crate) head: Head,
    /// Lines that the database does not have yet.
    pub(crate) unknown: u64,
}

/// Checks the chain of all lines, and that it has the line that made `database`, the head in a
/// database. Others can append lines meanwhile.
pub(crate) fn verify(database: &Head, path: &Path) -> Result<VerifiedLedger, LedgerError> {
    loop {
        let files = segments::rotated(path)?;
        let verified = verify_files(database, path);
        // A file that was rotated meanwhile may have been read as the one that is written.
        if verified.is_ok() || files == segments::rotated(path)? {
            return verified;
        }
    }
}

fn verify_files(database: &Head, path: &Path) -> Result<VerifiedLedger, LedgerError> {
    let mut found = Head::default();
    let mut checked = &Head::default() == database;
    let all = segments::all(path)?;
    let head = for_each_line(path, all, Head::default(), |place, head, _| {
        if head.sequence == database.sequence {
            checked = head == database;
            if !checked {
                return Err(place.wrong("its hash is not the one in the database"));
            }
        }
        found = head.clone();
        Ok(())
    })?;
    if !checked {
        return Err(LedgerError::Truncated {
            path: path.to_owned(),
            last: found.sequence,
            expected: database.sequence,
        });
    }
    Ok(VerifiedLedger {
        unknown: head.sequence - database.sequence,
        head,
    })
}

/// Gives `visit` every line of the ledger, whose chain is checked.
pub(crate) fn for_each_event(
    path: &Path,
    mut visit: impl FnMut(&[u8]) -> Result<(), serde_json::Error>,
) -> Result<(), LedgerError> {
    let all = segments::all(path)?;
    for_each_line(path, all, Head::default(), |place, _, line| {
        visit(line).map_err(|error| place.wrong(error.to_string()))
    })
    .map(drop)
}

/// Where a line is.
#[derive(Clone)]
pub(super) struct Place {
    path: PathBuf,
    number: u64,
}

impl Place {
    pub(super) fn wrong(&self, reason: impl Into<String>) -> LedgerError {
        LedgerError::Line {
            path: self.path.clone(),
            line: format!("line {}", self.number),
            reason: reason.into(),
        }
    }
}

/// Gives `visit` every line of `files` with the head that it makes, in order and after checking that
/// it continues the chain from `head`, the one before the first of them. Stops at an incomplete line
/// at the end. Returns the last head.
pub(super) fn for_each_line(
    path: &Path,
    files: Vec<PathBuf>,
    mut head: Head,
    mut visit: impl FnMut(&Place, &Head, &[u8]) -> Result<(), LedgerError>,
) -> Result<Head, LedgerError> {
    let mut last: Option<Place> = None;
    for file in files {
        let Ok(opened) = files::open(&file) else {
            // The file that is written does not exist between a rotation and the next line.
            if file == path && segments::read_end(path)?.last_line.is_none() {
                continue;
            }
            return Err(failed(&file, &std::io::Error::other("it cannot be read")));
        };
        let mut reader = BufReader::new(opened);
        let mut number = 0;
        loop {
            let mut line = Vec::new();
            (&mut reader)
                .take(MAX_LINE as u64 + 1)
                .read_until(b'\n', &mut line)
                .map_err(|reason| failed(&file, &reason))?;
            number += 1;
            let place = Place {
                path: file.clone(),
                number,
            };
            if line.pop_if(|byte| *byte == b'\n').is_none() {
                match line.is_empty() || (file == path && line.len() <= MAX_LINE) {
                    true => break,
                    false => return Err(place.wrong("it is incomplete")),
                }
            }
            check(&place, &line, &head, last.as_ref())?;
            head = head.after(&line);
            visit(&place, &head, &line)?;
            last = Some(place);
        }
    }
    Ok(head)
}

/// Checks that the line follows the one that made `head`, which was at `last`.
fn check(place: &Place, line: &[u8], head: &Head, last: Option<&Place>) -> Result<(), LedgerError> {
    let link = Link::read(line).map_err(|error| place.wrong(error.to_string()))?;
    if link.sequence != head.sequence + 1 {
        let (found, expected) = (link.sequence, head.sequence + 1);
        return Err(place.wrong(format!("it has the sequence {found} instead of {expected}")));
    }
    match (link.previous == head.hash, last) {
        (true, _) => Ok(()),
        (false, Some(last)) => Err(last.wrong("its hash is not the one in the next line")),
        (false, None) => Err(place.wrong("it is not the first line of a ledger")),
    }
}
