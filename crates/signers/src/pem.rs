//! A private key in a PEM file.

use std::path::{Path, PathBuf};

use files::FileError;
use miette::Diagnostic;
use snap_assertions::{LocalSigner, PrivateKeyError};
use thiserror::Error;

use crate::{SECRET_SIZE_LIMIT, SigningKeyError};

/// Header of an encrypted PKCS#1 key (RFC 1421, section 4.6.1.1); `openssl genrsa -aes256` wrote it
/// before OpenSSL 3.
const OLD_ENCRYPTION: &str = "Proc-Type: 4,ENCRYPTED";

/// Why a PEM file holds no key to sign with.
#[derive(Debug, Error, Diagnostic)]
pub enum PemError {
    /// The file cannot be read, or others can read it.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The key has a passphrase.
    #[error("the key in {} is encrypted with a passphrase", .0.display())]
    #[diagnostic(
        code("key-file-encrypted"),
        help(
            "Let openssl ask for the passphrase, in bash: `--key <(openssl pkey -in {})`; or keep the key in \
             GnuPG or an HSM",
            .0.display()
        )
    )]
    Encrypted(PathBuf),
    /// The file holds another kind of PEM block.
    #[error("the key file {} holds a block {label:?}, not a private RSA key", file.display())]
    #[diagnostic(
        code("key-file-wrong-block"),
        help("Name a file that starts with -----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----")
    )]
    Block {
        /// The file.
        file: PathBuf,
        /// The label of the block.
        label: String,
    },
    /// The file is not PEM.
    #[error("the key file {} is not in PEM", .0.display())]
    #[diagnostic(
        code("key-file-not-pem"),
        help("Convert a key in DER with `openssl pkey -inform DER -in {} -out KEY.pem`", .0.display())
    )]
    NotPem(PathBuf),
    /// The key is not RSA.
    #[error("the key file {} does not hold a private RSA key", .0.display())]
    #[diagnostic(
        code("key-file-not-rsa"),
        help("Make an RSA key with `openssl genrsa -out KEY.pem 4096`")
    )]
    NotRsa(PathBuf),
    /// The key cannot be used for another reason.
    #[error("cannot use the key file {}: {reason}", file.display())]
    #[diagnostic(
        code("key-file-invalid"),
        help("Check the key with `openssl pkey -check -in {}`", file.display())
    )]
    Invalid {
        /// The file.
        file: PathBuf,
        /// What is wrong with the key.
        reason: PrivateKeyError,
    },
}

/// Opens the key in `file`: PKCS#8 or PKCS#1, without a passphrase.
pub(crate) fn open(file: &Path, allow_exposed: bool) -> Result<LocalSigner, SigningKeyError> {
    let bytes = files::read_private(file, SECRET_SIZE_LIMIT, allow_exposed).map_err(PemError::from)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    if text.contains(OLD_ENCRYPTION) {
        return Err(PemError::Encrypted(file.to_owned()).into());
    }
    let file = file.to_owned();
    LocalSigner::from_pem(text).map_err(|error| {
        let error = match error {
            PrivateKeyError::TooSmall(bits) => {
                let key = format!("the key in {}", file.display());
                return SigningKeyError::TooSmall { key, bits };
            }
            PrivateKeyError::Label(label) if label == "ENCRYPTED PRIVATE KEY" => PemError::Encrypted(file),
            PrivateKeyError::Label(label) => PemError::Block { file, label },
            PrivateKeyError::NotPem => PemError::NotPem(file),
            PrivateKeyError::NotRsa => PemError::NotRsa(file),
            reason => PemError::Invalid { file, reason },
        };
        error.into()
    })
}
