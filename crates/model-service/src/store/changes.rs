//! Changes by administrators, in the histories of identities and serials.

use super::SerialNumber;

/// What an administrator changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    IdentityBlocked,
    IdentityUnblocked,
    SerialReleased,
}

impl ChangeKind {
    const ALL: [Self; 3] = [
        Self::IdentityBlocked,
        Self::IdentityUnblocked,
        Self::SerialReleased,
    ];

    /// The name, as in the ledger.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::IdentityBlocked => "identity-blocked",
            Self::IdentityUnblocked => "identity-unblocked",
            Self::SerialReleased => "serial-released",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A change by an administrator.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Seconds since the epoch.
    pub(crate) time: i64,
    pub(crate) kind: ChangeKind,
    /// The device that it was about.
    pub(crate) device: String,
    pub(crate) reason: String,
    /// Who made it, as in the ledger.
    pub(crate) by: String,
    /// The released serial; empty for other kinds.
    pub(crate) number: SerialNumber,
}
