//! Digests of values that are compared in a large batch or ledger.

use aws_lc_rs::digest::{SHA256, digest};

/// The first half of a SHA-256 digest, which keeps the memory small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The fingerprint of a value.
    pub fn of(value: &[u8]) -> Self {
        Fingerprint::of_digest(digest(&SHA256, value).as_ref())
    }

    /// The fingerprint of several strings without zero bytes.
    pub fn of_strings(strings: &[&str]) -> Self {
        Fingerprint::of(strings.join("\0").as_bytes())
    }

    /// The fingerprint of a value that has this SHA-256.
    pub fn of_digest(sha256: &[u8]) -> Self {
        let mut half = [0; 16];
        half.iter_mut().zip(sha256).for_each(|(to, from)| *to = *from);
        Fingerprint(half)
    }
}
