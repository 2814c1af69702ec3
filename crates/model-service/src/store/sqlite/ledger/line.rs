//! The lines of the ledger.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::Event;

/// The longest line in bytes.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// A line to write.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub(super) sequence: u64,
    /// The hash of the line before, in hexadecimal digits; zeros in the first line.
    pub(super) previous: &'a str,
    /// RFC 3339.
    pub(super) time: &'a str,
    #[serde(flatten)]
    pub(super) event: &'a Event,
}

/// When a line was written.
#[derive(Deserialize)]
pub(super) struct Stamp {
    pub(super) sequence: u64,
    /// RFC 3339.
    pub(super) time: String,
}

impl Stamp {
    /// Seconds since the epoch.
    pub(super) fn seconds(&self) -> i64 {
        self.time.parse::<Timestamp>().map_or(0, Timestamp::as_second)
    }
}
