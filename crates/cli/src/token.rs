//! The token that a station and its devices share.

use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use files::FileError;
use miette::Diagnostic;
use thiserror::Error;
use zeroize::Zeroizing;

/// The smallest length of a token in bytes. A shorter one can be guessed.
const MIN_LENGTH: usize = 16;
/// The largest file with a token, in bytes.
const LARGEST_FILE: u64 = 4096;

/// Why a token cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum TokenError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    #[error("the secret in {} has less than {MIN_LENGTH} bytes", .0.display())]
    #[diagnostic(code("secret-too-short"), help("Create a secret with `openssl rand -hex 32`"))]
    TooShort(PathBuf),
    #[error("the token in {} has other characters than printable ASCII", .0.display())]
    #[diagnostic(code("token-unprintable"), help("Create a token with `openssl rand -hex 32`"))]
    Unprintable(PathBuf),
}

/// A token.
pub(crate) struct Token(Zeroizing<String>);

impl Token {
    /// Reads a file that only its owner can use.
    pub(crate) fn read(path: &Path) -> Result<Self, TokenError> {
        let content = files::read_private(path, LARGEST_FILE, false)?;
        let token = content.trim_ascii();
        if token.len() < MIN_LENGTH {
            return Err(TokenError::TooShort(path.to_owned()));
        }
        match std::str::from_utf8(token) {
            Ok(token) if token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(Token(Zeroizing::new(token.to_owned())))
            }
            _ => Err(TokenError::Unprintable(path.to_owned())),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if `given` is this token. The time that takes depends on neither the token nor its
    /// length.
    pub(crate) fn matches(&self, given: &[u8]) -> bool {
        let (token, given) = (digest(&SHA256, self.0.as_bytes()), digest(&SHA256, given));
        verify_slices_are_equal(token.as_ref(), given.as_ref()).is_ok()
    }
}
