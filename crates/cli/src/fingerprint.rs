//! Values that no two exports of a batch may share.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ledger_chain::Fingerprint;

use crate::export_reader::Location;

/// The values that no two exports of a batch may share, with the first export that has each. A value
/// stays if the export is refused for another reason.
#[derive(Debug, Default)]
pub(crate) struct UniqueFingerprints(HashMap<Fingerprint, Location>);

impl UniqueFingerprints {
    /// Adds the value of an export. Returns the location of the first export with the same value.
    pub(crate) fn add(&mut self, value: Fingerprint, location: Location) -> Option<Location> {
        match self.0.entry(value) {
            Entry::Occupied(first) => Some(*first.get()),
            Entry::Vacant(vacant) => {
                vacant.insert(location);
                None
            }
        }
    }
}
