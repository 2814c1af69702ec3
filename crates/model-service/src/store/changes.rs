//! Changes by administrators, in the histories of identities and serials.

use super::SerialNumber;
use super::columns::{Columns, FromColumns};

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

/// `None` for a kind that this release does not know.
impl FromColumns for Option<Change> {
    fn read<C: Columns>(columns: &mut C) -> Result<Self, C::Error> {
        let time = columns.integer()?;
        let kind = ChangeKind::from_name(&columns.text()?);
        let (device, reason, by) = (columns.text()?, columns.text()?, columns.text()?);
        let number = SerialNumber {
            brand: columns.text()?,
            model: columns.text()?,
            serial: columns.text()?,
        };
        Ok(kind.map(|kind| Change {
            time,
            kind,
            device,
            reason,
            by,
            number,
        }))
    }
}

impl Change {
    /// Finds those of an identity and of the serials that it had, by the device's name, newest
    /// first.
    pub(super) const OF_DEVICE: &str = "SELECT time, kind, device, reason, author, brand, model, serial
         FROM changes WHERE device = ?1 ORDER BY id DESC";
    /// Finds the releases of a serial, by serial, brand and model, newest first.
    pub(super) const OF_SERIAL: &str = "SELECT time, kind, device, reason, author, brand, model, serial
         FROM changes WHERE serial = ?1 AND brand = ?2 AND model = ?3 ORDER BY id DESC";
}
