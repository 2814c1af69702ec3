//! The chain of hashes, which the model service's ledger has too.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// The last line of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Counted from 1; 0 without lines.
    pub(crate) sequence: u64,
    /// SHA-256 of the line without its line feed, in hexadecimal digits; zeros without lines.
    pub(crate) hash: String,
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
    /// The head that a line makes, which is without its line feed.
    pub(super) fn of(sequence: u64, line: &[u8]) -> Self {
        Head {
            sequence,
            hash: sha256(line),
        }
    }
}

/// The place of a line in the chain.
#[derive(Debug, Deserialize)]
pub(super) struct Link {
    pub(super) sequence: u64,
    /// The hash of the line before.
    pub(super) previous: String,
    pub(super) kind: String,
}

impl Link {
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| error.to_string())
    }

    /// Returns true if the line can follow the one that made `head`.
    pub(super) fn follows(&self, head: &Head) -> bool {
        Some(self.sequence) == head.sequence.checked_add(1) && self.previous == head.hash
    }
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
