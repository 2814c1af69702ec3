//! A private key in a PEM file.

use std::path::Path;

use anyhow::anyhow;
use snap_assertions::{LocalSigner, PrivateKeyError};

use crate::secret_file;

/// Stands in a PKCS#1 key that has a passphrase (RFC 1421, section 4.6.1.1), as `openssl genrsa -aes256` once wrote it.
const OLD_ENCRYPTION: &str = "Proc-Type: 4,ENCRYPTED";

/// The key in `file`: PKCS#8 or PKCS#1, without a passphrase.
pub(crate) fn open(file: &Path, insecure: bool) -> anyhow::Result<LocalSigner> {
    let bytes = secret_file::read(file, "the key file", insecure)?;
    let shown = file.display();
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    if text.contains(OLD_ENCRYPTION) {
        return Err(encrypted(file));
    }
    LocalSigner::from_pem(text).map_err(|error| match error {
        PrivateKeyError::Label(label) if label == "ENCRYPTED PRIVATE KEY" => encrypted(file),
        PrivateKeyError::Label(label) => anyhow!(
            "the key file {shown} holds a block {label:?}, not a private RSA key. Give a file that starts with \
             -----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----"
        ),
        PrivateKeyError::NotPem => anyhow!(
            "the key file {shown} is not in PEM. A key in DER is made PEM by `openssl pkey -inform DER -in {shown} \
             -out KEY.pem`"
        ),
        PrivateKeyError::NotRsa => anyhow!(
            "the key file {shown} does not hold a private RSA key. Assertions are signed with RSA: make a key with \
             `openssl genrsa -out KEY.pem 4096`"
        ),
        PrivateKeyError::TooSmall(bits) => anyhow!(
            "the key in {shown} has {bits} bits, at least 4096 are needed. Make a larger one with `openssl genrsa \
             -out KEY.pem 4096`"
        ),
        error => anyhow!("the key file {shown} cannot be used: {error}. Check it with `openssl pkey -check -in {shown}`"),
    })
}

fn encrypted(file: &Path) -> anyhow::Error {
    let shown = file.display();
    anyhow!(
        "the key in {shown} is encrypted with a passphrase. Let openssl ask for it, in bash: --key <(openssl pkey \
         -in {shown}), or keep the key in GnuPG or an HSM"
    )
}
