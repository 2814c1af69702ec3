//! The lines of the ledger.

use serde::{Deserialize, Serialize};

/// The longest line in bytes.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// What a line records.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(crate) enum Event {
    /// A serial assertion was signed.
    SerialIssued {
        brand: String,
        model: String,
        serial: String,
        revision: u64,
        device: String,
        device_key: String,
        sign_key: String,
        assertion: String,
    },
    /// A serial was taken from its device, and others can get it.
    SerialReleased {
        brand: String,
        model: String,
        serial: String,
        device: String,
        reason: String,
        by: String,
    },
    /// A hardware identity gets no more serials.
    IdentityBlocked {
        /// The digest of the key's DER bytes.
        key_digest: String,
        /// Seconds since the epoch.
        since: i64,
        reason: String,
        by: String,
    },
    /// A blocked hardware identity gets serials again.
    IdentityUnblocked {
        key_digest: String,
        reason: String,
        by: String,
    },
    /// Hardware identities were imported.
    IdentitiesImported {
        new: u64,
        replaced: u64,
        present: u64,
        older: u64,
        by: String,
    },
    /// A backup was restored. The lines before this one were replayed.
    DatabaseRestored {
        /// The last line that the backup had.
        backup_sequence: u64,
        by: String,
    },
}

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

/// The place of a line in the chain.
#[derive(Deserialize)]
pub(super) struct Link {
    pub(super) sequence: u64,
    pub(super) previous: String,
}

/// When a line was written.
#[derive(Deserialize)]
pub(super) struct Stamp {
    pub(super) sequence: u64,
    /// RFC 3339.
    pub(super) time: String,
}
