//! The issuer's public key: in an account-key assertion, or by itself.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use der::Document;
use jiff::Timestamp;
use snap_assertions::types::AccountKey;
use snap_assertions::{Assertion, PublicKey, VerifyError, decode};

use crate::explain::Explain as _;

/// Far above an account-key assertion with its body.
const LARGEST: u64 = 64 * 1024;

/// What a file with an issuer's key holds.
pub(crate) enum IssuerKeyFile {
    /// The key alone: the signature counts, and nothing else is known.
    Bare(PublicKey),
    /// With the account it belongs to, and the time that it is valid for.
    Account(Box<Assertion>),
}

impl IssuerKeyFile {
    /// Reads an account-key assertion, an encoded public key (base64, as in an account-key's body), or a public key in
    /// PEM.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let name = file.display();
        let next = "Name an account-key assertion (`snap known --remote account-key …`), the encoded public key \
                    in it, or a public key in PEM";
        let size = fs::metadata(file)
            .explain(format_args!("{name} cannot be read"), "Check --issuer-key")?
            .len();
        ensure!(
            size <= LARGEST,
            "{name} holds no issuer's key: it has more than {LARGEST} bytes. {next}"
        );
        let text = fs::read_to_string(file).explain(format_args!("{name} cannot be read"), next)?;
        if text.starts_with("type:") {
            let assertion =
                decode(text.as_bytes()).explain(format_args!("{name} holds no assertion"), next)?;
            AccountKey::try_from(&assertion).explain(format_args!("{name} holds no account-key"), next)?;
            return Ok(IssuerKeyFile::Account(Box::new(assertion)));
        }
        if text.starts_with("-----BEGIN") {
            let (_, der) =
                Document::from_pem(&text).explain(format_args!("{name} holds no public key"), next)?;
            let key = PublicKey::from_spki_der(der.as_bytes());
            let key = key.explain(format_args!("{name} holds no public key in PEM"), next)?;
            return Ok(IssuerKeyFile::Bare(key));
        }
        let key = PublicKey::decode(text.trim()).explain(format_args!("{name} holds no public key"), next)?;
        Ok(IssuerKeyFile::Bare(key))
    }

    pub(crate) fn key(&self) -> anyhow::Result<IssuerKey<'_>> {
        Ok(match self {
            IssuerKeyFile::Bare(key) => IssuerKey::Bare(key),
            IssuerKeyFile::Account(assertion) => {
                IssuerKey::Account(AccountKey::try_from(assertion.as_ref())?)
            }
        })
    }
}

/// What assertions are verified with.
pub(crate) enum IssuerKey<'a> {
    Bare(&'a PublicKey),
    Account(AccountKey<'a>),
}

impl IssuerKey<'_> {
    /// Verifies the signature, and with an account-key that it was the issuer's to make and is valid now.
    pub(crate) fn verify(&self, assertion: &Assertion, now: Timestamp) -> Result<(), VerifyError> {
        match self {
            IssuerKey::Bare(key) => assertion.verify(key),
            IssuerKey::Account(key) => key.verify(assertion, now),
        }
    }
}
