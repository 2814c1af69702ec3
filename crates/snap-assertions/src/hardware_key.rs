//! The key of a hardware identity, and the nonce signatures it makes.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, VerificationAlgorithm,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use der::Decode;
use der::asn1::ObjectIdentifier;
use spki::SubjectPublicKeyInfoRef;

use crate::digest::sha3_384;
use crate::key::{KeyError, OID_RSA, bit_length, rsa_components};

/// RFC 5480, section 2.1.1, and RFC 8410, section 3.
const OID_EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const OID_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const OID_P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const OID_P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const OID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

const MIN_RSA_BITS: usize = 2048;
const SUPPORTED: &str = "use ECDSA on P-256 or P-384, or RSA of 2048 bits or more";

/// The kinds of key that a hardware identity may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HardwareKeyKind {
    /// ECDSA on the NIST curve P-256.
    EcdsaP256,
    /// ECDSA on the NIST curve P-384.
    EcdsaP384,
    /// RSA, from 2048 to 8192 bits.
    Rsa {
        /// The size of the modulus.
        bits: usize,
    },
}

/// The hash functions with which a device signs the nonce. Their names are those in the request's
/// `signature-hash-algorithm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NonceHash {
    /// SHA-256, `sha256`.
    Sha256,
    /// SHA-384, `sha384`.
    Sha384,
}

impl std::str::FromStr for NonceHash {
    type Err = NonceError;

    fn from_str(name: &str) -> Result<Self, NonceError> {
        match name {
            "sha256" => Ok(Self::Sha256),
            "sha384" => Ok(Self::Sha384),
            other => Err(NonceError::UnknownHash(other.to_owned())),
        }
    }
}

/// Why a nonce signature was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NonceError {
    /// The name is none of the hash functions.
    #[error("{0:?} is not a known hash algorithm: use sha256 or sha384")]
    UnknownHash(String),
    /// The signature is not the key's over this nonce with this hash.
    #[error("the signature is not this key's over the nonce")]
    BadSignature,
}

/// The public key of a hardware identity.
///
/// snapd takes any key that it can parse; the model service can verify nonces only with the kinds named in
/// [`HardwareKeyKind`], so the others are refused here.
///
/// ```
/// use snap_assertions::types::{HardwareKey, HardwareKeyKind};
///
/// let text = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmDzjVyqasIhldpm2SknZvP5tVNN9\n\
///             KlMs8HkYdtiLH5zeaB9PH5kT9TZQn+b95UKUgzk+bzefjMHIPUIGLFNINA==";
/// let key = HardwareKey::from_text(text)?;
/// assert_eq!(key.kind(), HardwareKeyKind::EcdsaP256);
/// assert_eq!(HardwareKey::from_spki_der(key.spki_der())?, key);
/// # Ok::<(), snap_assertions::KeyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HardwareKey {
    kind: HardwareKeyKind,
    der: Vec<u8>,
}

impl HardwareKey {
    /// Reads the value of the header `hardware-id-key`: the base64 text of a SubjectPublicKeyInfo in DER, on
    /// one line or on several, as in a PEM file between the `BEGIN` and `END` lines.
    ///
    /// # Errors
    /// If it is not such text, or holds a key of another kind.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let flat: Vec<u8> = text.bytes().filter(|byte| !b" \t\r\n".contains(byte)).collect();
        let der = BASE64_STANDARD.decode(flat).map_err(|_| KeyError::NotBase64)?;
        Self::from_spki_der(&der)
    }

    /// Reads a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// If it is not one, or holds a key of another kind.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let spki =
            SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::NotDer("SubjectPublicKeyInfo"))?;
        let key = Self {
            kind: kind(&spki)?,
            der: der.to_vec(),
        };
        // Refuses points off the curve and numbers that are no RSA key.
        key.parse(NonceHash::Sha256)?;
        Ok(key)
    }

    /// The kind of key.
    pub fn kind(&self) -> HardwareKeyKind {
        self.kind
    }

    /// The SubjectPublicKeyInfo in DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.der
    }

    /// The SHA3-384 digest over the DER bytes: [`DigestForm::Der`](crate::DigestForm::Der).
    pub fn der_digest(&self) -> String {
        sha3_384(&[&self.der])
    }

    /// Checks that `signature` is this key's over `nonce`: RSA with PKCS#1 v1.5, or ECDSA with the signature
    /// in DER.
    ///
    /// # Errors
    /// [`NonceError::BadSignature`] if it is not.
    pub fn verify_nonce(&self, nonce: &[u8], signature: &[u8], hash: NonceHash) -> Result<(), NonceError> {
        let key = self.parse(hash).map_err(|_| NonceError::BadSignature)?;
        key.verify_sig(nonce, signature)
            .map_err(|_| NonceError::BadSignature)
    }

    fn parse(&self, hash: NonceHash) -> Result<ParsedPublicKey, KeyError> {
        let algorithm: &'static dyn VerificationAlgorithm = match (self.kind, hash) {
            (HardwareKeyKind::EcdsaP256, NonceHash::Sha256) => &ECDSA_P256_SHA256_ASN1,
            (HardwareKeyKind::EcdsaP256, NonceHash::Sha384) => &ECDSA_P256_SHA384_ASN1,
            (HardwareKeyKind::EcdsaP384, NonceHash::Sha256) => &ECDSA_P384_SHA256_ASN1,
            (HardwareKeyKind::EcdsaP384, NonceHash::Sha384) => &ECDSA_P384_SHA384_ASN1,
            (HardwareKeyKind::Rsa { .. }, NonceHash::Sha256) => &RSA_PKCS1_2048_8192_SHA256,
            (HardwareKeyKind::Rsa { .. }, NonceHash::Sha384) => &RSA_PKCS1_2048_8192_SHA384,
        };
        ParsedPublicKey::new(algorithm, &self.der).map_err(|_| KeyError::Invalid)
    }
}

fn kind(spki: &SubjectPublicKeyInfoRef<'_>) -> Result<HardwareKeyKind, KeyError> {
    let key = spki.subject_public_key.as_bytes().unwrap_or_default();
    match spki.algorithm.oid {
        OID_RSA => rsa_kind(spki, key),
        OID_EC => ec_kind(spki, key),
        OID_ED25519 => Err(unsupported("Ed25519")),
        other => Err(unsupported(&other.to_string())),
    }
}

fn rsa_kind(spki: &SubjectPublicKeyInfoRef<'_>, key: &[u8]) -> Result<HardwareKeyKind, KeyError> {
    // Go's x509 demands the NULL that RFC 3279, section 2.3.1, demands.
    if !spki.algorithm.parameters.is_some_and(|any| any.is_null()) {
        return Err(KeyError::NotDer(
            "SubjectPublicKeyInfo of an RSA key (with NULL parameters)",
        ));
    }
    let (n, _) = rsa_components(key)?;
    let bits = bit_length(n);
    match (MIN_RSA_BITS..=8192).contains(&bits) {
        true => Ok(HardwareKeyKind::Rsa { bits }),
        false => Err(KeyError::Size {
            bits,
            min: MIN_RSA_BITS,
        }),
    }
}

fn ec_kind(spki: &SubjectPublicKeyInfoRef<'_>, key: &[u8]) -> Result<HardwareKeyKind, KeyError> {
    let kind = match spki.algorithm.parameters_oid() {
        Ok(OID_P256) => HardwareKeyKind::EcdsaP256,
        Ok(OID_P384) => HardwareKeyKind::EcdsaP384,
        Ok(OID_P521) => return Err(unsupported("ECDSA P-521")),
        Ok(other) => return Err(unsupported(&format!("ECDSA on the curve {other}"))),
        Err(_) => return Err(unsupported("ECDSA on an unnamed curve")),
    };
    // Go's x509 reads no compressed points (SEC 1, section 2.3.3: those do not start with 4).
    match key.first() {
        Some(4) => Ok(kind),
        _ => Err(unsupported("ECDSA with a compressed point")),
    }
}

fn unsupported(found: &str) -> KeyError {
    KeyError::Kind {
        found: found.to_owned(),
        supported: SUPPORTED,
    }
}
