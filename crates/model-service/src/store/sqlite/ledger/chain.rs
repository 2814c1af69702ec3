//! The chain of hashes.

use std::fmt::Display;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;

use super::error::LedgerError;
use super::line::{Link, Stamp};

/// The last line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Counted from 1; 0 without lines.
    pub(crate) sequence: u64,
    /// SHA-256 of the line without its end, in hexadecimal digits.
    pub(crate) hash: String,
}

impl Default for Head {
    /// The head of a ledger without lines.
    fn default() -> Self {
        Self {
            sequence: 0,
            hash: "0".repeat(64),
        }
    }
}

impl Head {
    /// The head after one more line.
    pub(super) fn after(&self, line: &[u8]) -> Self {
        Self {
            sequence: self.sequence + 1,
            hash: sha256(line),
        }
    }

    /// The head that the last line makes, which is not compared with those before it.
    pub(super) fn of_line(path: &Path, line: &[u8]) -> Result<Self, LedgerError> {
        let link: Link = serde_json::from_slice(line).map_err(|error| wrong(path, &error))?;
        Ok(Self {
            sequence: link.sequence,
            hash: sha256(line),
        })
    }
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

/// SHA-256 in hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}
