//! The chain of hashes.

use aws_lc_rs::digest::{self, SHA256};
use serde::Deserialize;

/// The last line of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Counted from 1; 0 without lines.
    pub sequence: u64,
    /// SHA-256 of the line without its line feed, in hexadecimal digits; zeros without lines.
    pub hash: String,
}

impl Default for Head {
    /// The head of a ledger without lines.
    fn default() -> Self {
        Head {
            sequence: 0,
            hash: "0".repeat(64),
        }
    }
}

impl Head {
    /// The head after one more line, which is without its line feed.
    pub fn after(&self, line: &[u8]) -> Self {
        Head {
            sequence: self.sequence + 1,
            hash: sha256(line),
        }
    }
}

/// The place of a line in the chain, and its kind.
#[derive(Debug, Deserialize)]
pub struct Link {
    /// Counted from 1.
    pub sequence: u64,
    /// The hash of the line before; zeros in the first line.
    pub previous: String,
    /// What the line records.
    pub kind: String,
}

impl Link {
    /// Reads a line.
    ///
    /// # Errors
    /// If it is not JSON with these members.
    pub fn read(line: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(line)
    }

    /// The head that the line makes, which is without its line feed. It is not compared with those
    /// before it.
    pub fn head(&self, line: &[u8]) -> Head {
        Head {
            sequence: self.sequence,
            hash: sha256(line),
        }
    }

    /// Returns true if the line can follow the one that made `head`.
    pub fn follows(&self, head: &Head) -> bool {
        Some(self.sequence) == head.sequence.checked_add(1) && self.previous == head.hash
    }
}

/// SHA-256 in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&SHA256, bytes))
}
