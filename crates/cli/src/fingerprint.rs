//! Digests of values that are compared in a large batch or ledger.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use aws_lc_rs::digest::{self, SHA256};

use crate::export_reader::Location;

/// The first half of a SHA-256 digest, which keeps the memory small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The fingerprint of a value.
    pub(crate) fn of(value: &[u8]) -> Self {
        Fingerprint::of_digest(digest::digest(&SHA256, value).as_ref())
    }

    /// The fingerprint of several strings without zero bytes.
    pub(crate) fn of_strings(strings: &[&str]) -> Self {
        Fingerprint::of(strings.join("\0").as_bytes())
    }

    /// The fingerprint of a value that has this SHA-256.
    pub(crate) fn of_digest(sha256: &[u8]) -> Self {
        let mut half = [0; 16];
        half.iter_mut().zip(sha256).for_each(|(to, from)| *to = *from);
        Fingerprint(half)
    }
}

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
