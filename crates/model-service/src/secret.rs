//! Secrets: private files, random tokens and comparison in constant time.

use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use failure::Diagnostic;
use files::FileError;
use thiserror::Error;
use zeroize::Zeroizing;

/// The smallest length of a secret in bytes. A shorter one can be guessed.
const MIN_LENGTH: usize = 16;
/// The largest file with a secret or a private key, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// Why a secret cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum SecretError {
    /// The file cannot be read, or others than its owner can use it.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The secret can be guessed.
    #[error("the secret in {} has less than {MIN_LENGTH} bytes", path.display())]
    #[diagnostic(code("secret-too-short"), help("Create a secret with `openssl rand -hex 32`"))]
    TooShort {
        /// The file.
        path: PathBuf,
    },
}

/// The system has no random numbers.
#[derive(Debug, Error, Diagnostic)]
#[error("the system has no random numbers")]
#[diagnostic(code("random-unavailable"), help("Try again"))]
pub struct RandomError;

/// A token, password or API key.
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Reads a file that holds a secret on one line.
    pub(crate) fn read(path: &Path) -> Result<Self, SecretError> {
        let content = read_private(path)?;
        let secret = content.trim_ascii();
        if secret.len() < MIN_LENGTH {
            return Err(SecretError::TooShort {
                path: path.to_owned(),
            });
        }
        Ok(Self(Zeroizing::new(secret.to_vec())))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns true if `given` is this secret. The time that takes depends on neither the secret
    /// nor its length.
    pub(crate) fn matches(&self, given: &[u8]) -> bool {
        equal_in_constant_time(&self.0, given)
    }
}

/// Returns true if both are equal. The time that takes does not depend on where they differ.
pub(crate) fn equal_in_constant_time(one: &[u8], other: &[u8]) -> bool {
    let (one, other) = (digest(&SHA256, one), digest(&SHA256, other));
    verify_slices_are_equal(one.as_ref(), other.as_ref()).is_ok()
}

/// Reads a file with a secret or a private key, which only its owner may be able to use.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    files::read_private(path, MAX_FILE, false)
}

/// 64 random bits.
pub(crate) fn random_number() -> Result<i64, RandomError> {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(i64::from_le_bytes(bytes))
}

/// 256 random bits in base64url without padding: 43 characters.
pub(crate) fn random_token() -> Result<String, RandomError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
