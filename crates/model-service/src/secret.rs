//! Secrets: files that only their owner may read, random tokens, and comparing in constant time.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::ensure;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::explain::Explain as _;

/// Below this, a secret could be guessed by trying.
const SHORTEST: usize = 16;

/// A token, password or API key.
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    /// Reads the only line of a file.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = read_private(file)?;
        let secret = text.trim();
        ensure!(
            secret.len() >= SHORTEST,
            "{} holds a secret of less than {SHORTEST} characters. Make one with `openssl rand -hex 32`",
            file.display()
        );
        Ok(Self(secret.as_bytes().to_vec()))
    }

    /// Whether `given` is this secret; how long that takes says nothing about it, its length included.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        same(&self.0, given)
    }
}

/// Compares in a time that does not depend on where the two differ.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    let (one, other) = (digest(&SHA256, one), digest(&SHA256, other));
    verify_slices_are_equal(one.as_ref(), other.as_ref()).is_ok()
}

/// Reads a file that nobody but its owner may read.
pub(crate) fn read_private(file: &Path) -> anyhow::Result<String> {
    let name = file.display();
    let cannot = format!("{name} cannot be read");
    let next = "Check the path in the settings and who owns the file";
    let mode = fs::metadata(file).explain(&cannot, next)?.permissions().mode();
    ensure!(
        mode & 0o077 == 0,
        "{name} holds a secret, and others than its owner may use it (mode {:o}). Run `chmod 600 {name}`",
        mode & 0o777
    );
    fs::read_to_string(file).explain(cannot, next)
}

/// 256 random bits in base64url without padding: 43 characters.
pub(crate) fn random_token() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).explain("the system gives no random numbers", "Try again")?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
