//! The issuer's public key, in an account-key assertion or alone.

use std::path::{Path, PathBuf};

use der::Document;
use files::FileError;
use jiff::Timestamp;
use miette::Diagnostic;
use snap_assertions::types::AccountKey;
use snap_assertions::{Assertion, PublicKey, VerifyError, decode};
use thiserror::Error;

/// Size limit in bytes, far above an account-key assertion with its body.
const SIZE_LIMIT: u64 = 64 * 1024;

/// Why a file holds no key of an issuer.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum IssuerKeyError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    #[error("{} does not hold the key of an issuer: {reason}", file.display())]
    #[diagnostic(
        code("issuer-key-invalid"),
        help(
            "Name an account-key assertion (`snap known --remote account-key …`), the encoded public key in it, or \
             a public key in PEM"
        )
    )]
    Invalid { file: PathBuf, reason: String },
}

/// The key that verifies assertions.
pub(crate) enum IssuerKey {
    /// The key alone; account and validity are not known.
    Bare(PublicKey),
    /// The key with its account and its validity.
    Account(AccountKey),
}

impl IssuerKey {
    /// Reads an account-key assertion, an encoded public key (base64, as in the body of an account-key),
    /// or a public key in PEM.
    pub(crate) fn read(file: &Path) -> Result<Self, IssuerKeyError> {
        let text = files::read_text(file, SIZE_LIMIT)?;
        Self::parse(&text).map_err(|reason| IssuerKeyError::Invalid {
            file: file.to_owned(),
            reason,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("type:") {
            let assertion = decode(text.as_bytes()).map_err(|error| error.to_string())?;
            let key = AccountKey::try_from(&assertion).map_err(|error| error.to_string())?;
            return Ok(IssuerKey::Account(key));
        }
        let key = match text.starts_with("-----BEGIN") {
            true => {
                let (_, der) = Document::from_pem(text).map_err(|error| error.to_string())?;
                PublicKey::from_spki_der(der.as_bytes())
            }
            false => PublicKey::decode(text.trim()),
        };
        key.map(IssuerKey::Bare)
            .map_err(|error| format!("the text {error}"))
    }

    /// Verifies the signature. With an account-key it also checks the account and the validity at `now`.
    pub(crate) fn verify(&self, assertion: &Assertion, now: Timestamp) -> Result<(), VerifyError> {
        match self {
            IssuerKey::Bare(key) => assertion.verify(key),
            IssuerKey::Account(key) => key.verify(assertion, now),
        }
    }
}
