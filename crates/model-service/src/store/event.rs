//! Events that the ledger records: issued serials and the changes of administrators.

use serde::{Deserialize, Serialize};

use super::{Authorship, SerialNumber, StoredCounts};

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

impl Event {
    pub(super) fn block(key_digest: String, since: i64, Authorship { by, reason }: Authorship) -> Self {
        Self::IdentityBlocked {
            key_digest,
            since,
            reason,
            by,
        }
    }

    pub(super) fn unblock(key_digest: String, Authorship { by, reason }: Authorship) -> Self {
        Self::IdentityUnblocked {
            key_digest,
            reason,
            by,
        }
    }

    pub(super) fn release(number: SerialNumber, device: String, authorship: Authorship) -> Self {
        let SerialNumber { brand, model, serial } = number;
        let Authorship { by, reason } = authorship;
        Self::SerialReleased {
            brand,
            model,
            serial,
            device,
            reason,
            by,
        }
    }

    pub(super) fn import(counts: StoredCounts, by: &str) -> Self {
        let StoredCounts {
            new,
            replaced,
            present,
            older,
        } = counts;
        Self::IdentitiesImported {
            new,
            replaced,
            present,
            older,
            by: by.to_owned(),
        }
    }
}
