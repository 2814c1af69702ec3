//! The public key of a hardware identity, and verification of the nonce signatures that it makes.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, VerificationAlgorithm,
};
use identity_key::{Hash, IdentityKeyError, IdentityPublicKey, KeyKind};
use miette::Diagnostic;
use thiserror::Error;

/// Why a value is not a usable public key of a hardware identity. The messages continue a sentence
/// that starts with the key or its header.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[non_exhaustive]
pub enum HardwareKeyError {
    /// The value is not a public key of a supported kind.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Encoding(#[from] IdentityKeyError),
    /// The point is not on the curve, or the numbers are not an RSA key.
    #[error("holds numbers that are not a key of kind {0}")]
    #[diagnostic(
        code("hardware-key-invalid"),
        help("Export the key again with `hardware-identity export`")
    )]
    Invalid(KeyKind),
}

/// The signature is not one of this key over this nonce with this hash.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[error("the hardware identity key did not sign this nonce")]
#[diagnostic(
    code("nonce-signature-wrong"),
    help("Sign the request-id with the key of this hardware identity")
)]
pub struct WrongNonceSignature;

/// The public key of a hardware identity, checked by the cryptographic library: points are on their
/// curve.
///
/// snapd accepts every key that Go's `crypto/x509` reads. Nonces can be verified only with the
/// kinds in [`KeyKind`], so this type refuses the others.
///
/// ```
/// use snap_assertions::KeyKind;
/// use snap_assertions::types::HardwareKey;
///
/// let text = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmDzjVyqasIhldpm2SknZvP5tVNN9\n\
///             KlMs8HkYdtiLH5zeaB9PH5kT9TZQn+b95UKUgzk+bzefjMHIPUIGLFNINA==";
/// let key = HardwareKey::from_header(text)?;
/// assert_eq!(key.public_key().kind(), KeyKind::EcdsaP256);
/// assert_eq!(HardwareKey::from_der(key.public_key().der())?, key);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HardwareKey(IdentityPublicKey);

impl HardwareKey {
    /// Reads the value of the header `hardware-id-key`, as [`IdentityPublicKey::from_header`] does.
    ///
    /// # Errors
    /// Those of [`IdentityPublicKey::from_header`], and [`HardwareKeyError::Invalid`].
    pub fn from_header(text: &str) -> Result<Self, HardwareKeyError> {
        Self::new(IdentityPublicKey::from_header(text)?)
    }

    /// Reads a SubjectPublicKeyInfo in DER (RFC 5280, section 4.1.2.7).
    ///
    /// # Errors
    /// Those of [`IdentityPublicKey::from_der`], and [`HardwareKeyError::Invalid`].
    pub fn from_der(der: &[u8]) -> Result<Self, HardwareKeyError> {
        Self::new(IdentityPublicKey::from_der(der)?)
    }

    /// Checks that the numbers are a key.
    ///
    /// # Errors
    /// [`HardwareKeyError::Invalid`] if they are not.
    pub fn new(key: IdentityPublicKey) -> Result<Self, HardwareKeyError> {
        match parse(&key, Hash::Sha256) {
            Some(_) => Ok(Self(key)),
            None => Err(HardwareKeyError::Invalid(key.kind())),
        }
    }

    /// The public key: kind, DER and digests.
    pub fn public_key(&self) -> &IdentityPublicKey {
        &self.0
    }

    /// Checks that `signature` is one of this key over `nonce`: RSA with PKCS#1 v1.5, or ECDSA with
    /// the signature in DER.
    ///
    /// # Errors
    /// [`WrongNonceSignature`] if it is not.
    pub fn verify_nonce(
        &self,
        nonce: &[u8],
        signature: &[u8],
        hash: Hash,
    ) -> Result<(), WrongNonceSignature> {
        let key = parse(&self.0, hash).ok_or(WrongNonceSignature)?;
        key.verify_sig(nonce, signature).map_err(|_| WrongNonceSignature)
    }
}

fn parse(key: &IdentityPublicKey, hash: Hash) -> Option<ParsedPublicKey> {
    let algorithm: &'static dyn VerificationAlgorithm = match (key.kind(), hash) {
        (KeyKind::EcdsaP256, Hash::Sha256) => &ECDSA_P256_SHA256_ASN1,
        (KeyKind::EcdsaP256, Hash::Sha384) => &ECDSA_P256_SHA384_ASN1,
        (KeyKind::EcdsaP384, Hash::Sha256) => &ECDSA_P384_SHA256_ASN1,
        (KeyKind::EcdsaP384, Hash::Sha384) => &ECDSA_P384_SHA384_ASN1,
        (KeyKind::Rsa { .. }, Hash::Sha256) => &RSA_PKCS1_2048_8192_SHA256,
        (KeyKind::Rsa { .. }, Hash::Sha384) => &RSA_PKCS1_2048_8192_SHA384,
    };
    ParsedPublicKey::new(algorithm, key.der()).ok()
}
