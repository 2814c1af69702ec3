//! A signer with a private key in memory.

use std::fmt;

use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA512};
use der::SecretDocument;
use miette::Diagnostic;
use thiserror::Error;

use crate::key::{KeyError, PublicKey, rsa_components};
use crate::openpgp::{PendingSignature, SignaturePacket};
use crate::sign::{MIN_SIGNING_BITS, Signer, SignerError};

/// Why a private key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[non_exhaustive]
pub enum PrivateKeyError {
    /// The text is not PEM.
    #[error("the private key is not in PEM")]
    #[diagnostic(
        code("private-key-not-pem"),
        help("Use a file that starts with -----BEGIN PRIVATE KEY-----")
    )]
    NotPem,
    /// The PEM block is not an unencrypted private key.
    #[error("the PEM block is {0:?}, not an unencrypted private key")]
    #[diagnostic(
        code("private-key-label"),
        help("Convert the key with `openssl pkcs8 -topk8 -nocrypt`")
    )]
    Label(String),
    /// The bytes are not an RSA private key.
    #[error("the private key is not an RSA key of at least 2048 bits in PKCS#8 or PKCS#1")]
    #[diagnostic(
        code("private-key-not-rsa"),
        help("Make a key with `openssl genrsa -out KEY.pem 4096`")
    )]
    NotRsa,
    /// The key is too small to sign with.
    #[error("the signing key has {0} bits, but at least 4096 are needed")]
    #[diagnostic(
        code("signing-key-too-small"),
        help(
            "Sign with a larger key: `openssl genrsa -out KEY.pem 4096` or `snap create-key NAME` makes one"
        )
    )]
    TooSmall(usize),
    /// The public half is not usable.
    #[error("the public half of the private key {0}")]
    #[diagnostic(transparent)]
    Public(KeyError),
}

/// The RSA operation of a [`LocalSigner`] failed.
#[derive(Debug, Error, Diagnostic)]
#[error("the RSA operation failed")]
#[diagnostic(
    code("rsa-operation-failed"),
    help("Check the key with `openssl pkey -check -in KEY.pem`")
)]
struct RsaFailed;

/// An RSA private key in memory, of at least 4096 bits.
///
/// aws-lc overwrites its memory with the key when the signer is dropped. The caller must wipe the
/// bytes that it gave to the constructors.
///
/// ```
/// use snap_assertions::{LocalSigner, PublicKey, Signer};
///
/// let signer = LocalSigner::from_der(include_bytes!("../tests/vectors/issuer.pk8"))?;
/// let public = PublicKey::decode(include_str!("../tests/vectors/issuer.public-key"))?;
/// assert_eq!(signer.public_key(), &public);
/// assert!(LocalSigner::from_pem("no key").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LocalSigner {
    private: KeyPair,
    public: PublicKey,
}

impl LocalSigner {
    /// Reads a private key in PEM: PKCS#8 (`BEGIN PRIVATE KEY`) or PKCS#1 (`BEGIN RSA PRIVATE
    /// KEY`), unencrypted.
    ///
    /// # Errors
    /// If the text does not contain such a key, or the key has less than 4096 bits.
    pub fn from_pem(pem: &str) -> Result<Self, PrivateKeyError> {
        let (label, der) = SecretDocument::from_pem(pem).map_err(|_| PrivateKeyError::NotPem)?;
        match label {
            "PRIVATE KEY" | "RSA PRIVATE KEY" => Self::from_der(der.as_bytes()),
            other => Err(PrivateKeyError::Label(other.to_owned())),
        }
    }

    /// Reads a private key in DER: PKCS#8 (RFC 5958) or PKCS#1 (RFC 8017), unencrypted.
    ///
    /// # Errors
    /// If the bytes are not such a key, or the key has less than 4096 bits.
    pub fn from_der(der: &[u8]) -> Result<Self, PrivateKeyError> {
        let private = KeyPair::from_pkcs8(der)
            .or_else(|_| KeyPair::from_der(der))
            .map_err(|_| PrivateKeyError::NotRsa)?;
        let (n, e) = rsa_components(private.public_key().as_ref()).map_err(PrivateKeyError::Public)?;
        let public = PublicKey::from_components(n, e).map_err(PrivateKeyError::Public)?;
        if public.bits() < MIN_SIGNING_BITS {
            return Err(PrivateKeyError::TooSmall(public.bits()));
        }
        Ok(Self { private, public })
    }
}

impl Signer for LocalSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, content: &[u8], time: u32) -> Result<SignaturePacket, SignerError> {
        let pending = PendingSignature::new(content, time);
        let mut raw = vec![0; self.private.public_modulus_len()];
        self.private
            .sign_digest(&RSA_PKCS1_SHA512, pending.aws_digest(), &mut raw)
            .map_err(|_| RsaFailed)?;
        Ok(pending.finish(&raw))
    }

    /// aws-lc raises each result to the public exponent, compares it with the input, and fails if
    /// they differ (`rsa_default_private_transform` in `rsa_impl.c`): a wrong result of an RSA
    /// operation with the Chinese remainder theorem would give away the key.
    fn verifies_itself(&self) -> bool {
        true
    }
}

impl fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalSigner").field(&self.public).finish()
    }
}
