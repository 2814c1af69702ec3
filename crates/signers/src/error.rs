//! Why a signing key cannot be opened or used.

use miette::Diagnostic;
use snap_assertions::MIN_SIGNING_BITS;
use thiserror::Error;

use crate::gnupg::GnuPgError;
use crate::key_manager::KeyManagerError;
use crate::pem::PemError;
use crate::pin::PinError;
use crate::pkcs11::{TokenError, UriError};
use crate::program::ProgramError;

/// Why a signing key cannot be opened, or did not sign.
///
/// [`Signer::sign`](snap_assertions::Signer::sign) returns it in a box; its caller can downcast it.
#[derive(Debug, Error, Diagnostic)]
pub enum SigningKeyError {
    /// The PEM file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pem(#[from] PemError),
    /// The GnuPG keyring.
    #[error(transparent)]
    #[diagnostic(transparent)]
    GnuPg(#[from] GnuPgError),
    /// The answers of the key manager.
    #[error(transparent)]
    #[diagnostic(transparent)]
    KeyManager(#[from] KeyManagerError),
    /// The run of GnuPG or of the key manager.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Program(#[from] ProgramError),
    /// The PKCS#11 URI.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Uri(#[from] UriError),
    /// The PIN of the token.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pin(#[from] PinError),
    /// The token or its PKCS#11 module.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Token(#[from] TokenError),
    /// The key is too small for snapd.
    #[error("{key} has {bits} bits, at least {MIN_SIGNING_BITS} are needed")]
    #[diagnostic(
        code("signing-key-too-small"),
        help(
            "Sign with a larger key: `openssl genrsa -out KEY.pem 4096` or `snap create-key NAME` makes one"
        )
    )]
    TooSmall {
        /// What names the key.
        key: String,
        /// The size of its modulus.
        bits: usize,
    },
}

impl SigningKeyError {
    /// Returns true if a file, a PIN or a URI was refused, and false if a program or a token failed.
    pub fn is_bad_input(&self) -> bool {
        match self {
            SigningKeyError::Pem(_)
            | SigningKeyError::Uri(_)
            | SigningKeyError::Pin(_)
            | SigningKeyError::TooSmall { .. } => true,
            SigningKeyError::GnuPg(_)
            | SigningKeyError::KeyManager(_)
            | SigningKeyError::Program(_)
            | SigningKeyError::Token(_) => false,
        }
    }
}
