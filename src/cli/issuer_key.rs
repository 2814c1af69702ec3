//! The issuer's public key, in an account-key assertion or alone.

use std::path::{Path, PathBuf};

use der::Document;
use files::FileError;
use jiff::Timestamp;
use miette::Diagnostic;
use snap_assertions::types::AccountKey;
use snap_assertions::{Assertion, DecodeError, HeaderError, KeyError, PublicKey, VerifyError, decode};
use thiserror::Error;

/// The largest file, in bytes: far above an account-key assertion with its body.
const SIZE_LIMIT: u64 = 64 * 1024;

/// Why a file is not an issuer's key.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum IssuerKeyError {
    /// The file cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The file starts like an assertion, but is not a single one.
    #[error("{} is not an account-key assertion: {reason}", path.display())]
    #[diagnostic(
        code("issuer-key-invalid"),
        help(
            "Use an account-key assertion (`snap known --remote account-key …`), the encoded public key in it, or a public key in PEM"
        )
    )]
    NotAssertion {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: DecodeError,
    },
    /// The assertion is not a valid account-key.
    #[error("{} is not an account-key assertion: {reason}", path.display())]
    #[diagnostic(
        code("issuer-key-invalid"),
        help(
            "Use an account-key assertion (`snap known --remote account-key …`), the encoded public key in it, or a public key in PEM"
        )
    )]
    NotAccountKey {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: HeaderError,
    },
    /// The PEM text is malformed.
    #[error("{} is not a public key in PEM: {reason}", path.display())]
    #[diagnostic(
        code("issuer-key-invalid"),
        help(
            "Use an account-key assertion (`snap known --remote account-key …`), the encoded public key in it, or a public key in PEM"
        )
    )]
    NotPem {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: der::Error,
    },
    /// The file is not a public key that can verify assertions.
    #[error("{} {reason}", path.display())]
    #[diagnostic(
        code("issuer-key-invalid"),
        help(
            "Use an account-key assertion (`snap known --remote account-key …`), the encoded public key in it, or a public key in PEM"
        )
    )]
    NotKey {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: KeyError,
    },
}

/// The issuer's key, which verifies assertions.
pub(crate) enum IssuerKey {
    /// A public key without an account: only the signature is checked.
    Bare(PublicKey),
    /// An account-key: account, validity and constraints are checked too.
    Account(AccountKey),
}

impl IssuerKey {
    /// Reads an account-key assertion, an encoded public key (base64, as in the body of an
    /// account-key), or a public key in PEM.
    pub(crate) fn read(path: &Path) -> Result<Self, IssuerKeyError> {
        let text = files::read_text(path, SIZE_LIMIT)?;
        let path = || path.to_owned();
        let not_key = |reason| IssuerKeyError::NotKey { path: path(), reason };
        if text.starts_with("type:") {
            let assertion = decode(text.as_bytes())
                .map_err(|reason| IssuerKeyError::NotAssertion { path: path(), reason })?;
            let key = AccountKey::try_from(&assertion)
                .map_err(|reason| IssuerKeyError::NotAccountKey { path: path(), reason })?;
            return Ok(IssuerKey::Account(key));
        }
        if text.starts_with("-----BEGIN") {
            let (_, der) = Document::from_pem(&text)
                .map_err(|reason| IssuerKeyError::NotPem { path: path(), reason })?;
            let key = PublicKey::from_spki_der(der.as_bytes()).map_err(not_key)?;
            return Ok(IssuerKey::Bare(key));
        }
        Ok(IssuerKey::Bare(PublicKey::decode(text.trim()).map_err(not_key)?))
    }

    /// Verifies the signature. With an account-key, also checks that the issuer was allowed to make it
    /// and that the key is valid now.
    pub(crate) fn verify(&self, assertion: &Assertion, now: Timestamp) -> Result<(), VerifyError> {
        match self {
            IssuerKey::Bare(key) => assertion.verify(key),
            IssuerKey::Account(key) => key.verify(assertion, now),
        }
    }
}
