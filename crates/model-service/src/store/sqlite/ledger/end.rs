//! The end of the ledger.

use std::fmt::Display;
use std::path::Path;

use jiff::Timestamp;
use ledger_chain::{Head, Link};

use super::error::LedgerError;
use super::line::Stamp;

/// The head that the last line makes, which is not compared with those before it.
pub(super) fn head_of_line(path: &Path, line: &[u8]) -> Result<Head, LedgerError> {
    let link = Link::read(line).map_err(|error| wrong(path, &error))?;
    Ok(link.head(line))
}

/// Where the ledger ends.
#[derive(Debug)]
pub(crate) struct LedgerEnd {
    /// The sequence of the last line.
    pub(crate) sequence: u64,
    /// When it was written.
    pub(crate) time: Timestamp,
}

impl LedgerEnd {
    pub(super) fn of_line(path: &Path, line: &[u8]) -> Result<Self, LedgerError> {
        let stamp: Stamp = serde_json::from_slice(line).map_err(|error| wrong(path, &error))?;
        Ok(Self {
            sequence: stamp.sequence,
            time: stamp.time.parse().map_err(|error| wrong(path, &error))?,
        })
    }
}

fn wrong(path: &Path, reason: &dyn Display) -> LedgerError {
    LedgerError::Line {
        path: path.to_owned(),
        line: "the last line".to_owned(),
        reason: reason.to_string(),
    }
}
