//! RSA public keys of accounts, issuers and devices: their encodings and ids.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents};
use der::asn1::{ObjectIdentifier, UintRef};
use der::{Decode, Reader, SliceReader};
use miette::Diagnostic;
use spki::SubjectPublicKeyInfoRef;
use thiserror::Error;

use crate::digest::sha3_384;
use crate::openpgp::{
    PacketError, SignaturePacket, decode_text, encode_text, public_key_packet, read_first_public_key,
    read_public_key,
};

/// rsaEncryption (RFC 8017, appendix A.1).
const OID_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The largest length of an exponent in bytes, by snapd's OpenPGP library.
const MAX_EXPONENT: usize = 3;

/// Why a value is not a usable public key. The messages continue a sentence that starts with the
/// key or its header.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[non_exhaustive]
pub enum KeyError {
    /// The encoded form does not contain a public key.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Packet(#[from] PacketError),
    /// The bytes are not the DER encoding of this structure.
    #[error("is not a {0} in DER")]
    #[diagnostic(
        code("public-key-not-der"),
        help("Convert the key with `openssl rsa -pubin -pubout -outform DER`")
    )]
    NotDer(&'static str),
    /// The key is not an RSA key.
    #[error("holds a key with the algorithm {0}, not an RSA key")]
    #[diagnostic(
        code("public-key-not-rsa"),
        help("Use an RSA key; assertions are signed with RSA")
    )]
    NotRsa(String),
    /// The RSA key is too small or too large.
    #[error("holds an RSA key of {bits} bits, but 2048 to 8192 are allowed")]
    #[diagnostic(
        code("public-key-size-unsupported"),
        help("Use an RSA key of 2048 to 8192 bits")
    )]
    Size {
        /// The size of the modulus in bits.
        bits: usize,
    },
    /// The exponent is longer than three bytes, which snapd refuses.
    #[error("holds an RSA key whose exponent is larger than 24 bits")]
    #[diagnostic(
        code("public-key-exponent-unsupported"),
        help("Use an RSA key with the exponent 65537")
    )]
    LargeExponent,
    /// The numbers are not an RSA key.
    #[error("holds numbers that are not an RSA key")]
    #[diagnostic(code("public-key-invalid"), help("Export the public key again"))]
    Invalid,
}

/// The signature is not one of this key over this content.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[error("the signature does not match the content and the key")]
#[diagnostic(
    code("signature-wrong"),
    help("Use the original assertion; this one was changed, or another key signed it")
)]
pub struct WrongSignature;

/// An RSA public key of an account, an issuer or a device, which verifies assertions.
///
/// It has 2048 to 8192 bits. Keys with the same id are equal.
///
/// ```
/// use snap_assertions::PublicKey;
///
/// let text = include_str!("../tests/vectors/issuer.public-key");
/// let key = PublicKey::decode(text)?;
/// assert_eq!(key.id(), "gmJIr_eA7sF1LGasRw33kqWWoUdR205ZnXqXKmGQ50w9Xcw4X_nWE9R87mc0kuOh");
/// assert_eq!(key.bits(), 4096);
/// assert_eq!(key.encode(), text.trim_end());
/// assert_eq!(PublicKey::from_spki_der(&key.to_spki_der())?, key);
/// # Ok::<(), snap_assertions::KeyError>(())
/// ```
#[derive(Clone)]
pub struct PublicKey {
    parsed: std::sync::Arc<ParsedPublicKey>,
    n: Vec<u8>,
    e: Vec<u8>,
    id: String,
}

impl PublicKey {
    /// Reads the encoded form: the body of an `account-key`, or the header `device-key`.
    ///
    /// # Errors
    /// If it is not an RSA key of 2048 to 8192 bits.
    pub fn decode(text: &str) -> Result<Self, KeyError> {
        Self::from_packet(read_public_key(&decode_text(text)?)?)
    }

    /// Reads a SubjectPublicKeyInfo in DER (RFC 5280, section 4.1.2.7), as `openssl rsa -pubout
    /// -outform DER`, PKCS#11 tools and key managers write it.
    ///
    /// # Errors
    /// If it is not an RSA key of 2048 to 8192 bits.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let spki =
            SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::NotDer("SubjectPublicKeyInfo"))?;
        if spki.algorithm.oid != OID_RSA {
            return Err(KeyError::NotRsa(spki.algorithm.oid.to_string()));
        }
        let key = spki.subject_public_key.as_bytes().unwrap_or_default();
        let (n, e) = rsa_components(key)?;
        Self::from_components(n, e)
    }

    /// Reads the primary key at the start of binary OpenPGP packets, as `gpg --export` writes them.
    /// Ignores its creation time, so that the id differs from GnuPG's fingerprint.
    ///
    /// ```
    /// use base64::prelude::{BASE64_STANDARD, Engine};
    /// use snap_assertions::PublicKey;
    ///
    /// let text = include_str!("../tests/vectors/issuer.public-key");
    /// let bytes = BASE64_STANDARD.decode(text.replace('\n', ""))?;
    /// let packets = [&bytes[1..], b"what follows the key"].concat();
    /// assert_eq!(PublicKey::from_openpgp(&packets)?, PublicKey::decode(text)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the first packet is not an RSA key of 2048 to 8192 bits.
    pub fn from_openpgp(packets: &[u8]) -> Result<Self, KeyError> {
        Self::from_packet(read_first_public_key(packets)?)
    }

    /// Makes a key from the numbers of a packet. snapd counts leading zeros of the exponent
    /// (`parseRSA` in golang.org/x/crypto/openpgp/packet).
    fn from_packet((n, e): (Vec<u8>, Vec<u8>)) -> Result<Self, KeyError> {
        if e.len() > MAX_EXPONENT {
            return Err(KeyError::LargeExponent);
        }
        Self::from_components(&n, &e)
    }

    /// Makes a key from modulus and exponent, both big endian.
    ///
    /// # Errors
    /// If the numbers are not an RSA key of 2048 to 8192 bits.
    pub fn from_components(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
        let bits = bit_length(n);
        if !(2048..=8192).contains(&bits) {
            return Err(KeyError::Size { bits });
        }
        if e.len() > MAX_EXPONENT {
            return Err(KeyError::LargeExponent);
        }
        // aws-lc does not check this for keys made from components.
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
        if !odd(n) || !odd(e) || e == [1] {
            return Err(KeyError::Invalid);
        }
        let components = RsaPublicKeyComponents { n, e };
        let parsed = components
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA512)
            .map_err(|_| KeyError::Invalid)?;
        let id = sha3_384(&[&[1], &public_key_packet(n, e)]);
        Ok(Self {
            parsed: parsed.into(),
            n: n.to_vec(),
            e: e.to_vec(),
            id,
        })
    }

    /// The encoded form, in lines of 76 characters without a line feed at the end.
    pub fn encode(&self) -> String {
        encode_text(&public_key_packet(&self.n, &self.e))
    }

    /// The SubjectPublicKeyInfo in DER.
    pub fn to_spki_der(&self) -> Vec<u8> {
        // aws-lc keeps the DER of a key made from components, so that this cannot fail.
        self.parsed
            .as_der()
            .map(|der| der.as_ref().to_vec())
            .unwrap_or_default()
    }

    /// The key id: the SHA3-384 digest of the bytes of the encoded form, in base64url without
    /// padding. The headers `sign-key-sha3-384`, `public-key-sha3-384` and `device-key-sha3-384`
    /// contain it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The size of the modulus in bits.
    pub fn bits(&self) -> usize {
        bit_length(&self.n)
    }

    /// Checks that `signature` is one of this key over `content`.
    ///
    /// # Errors
    /// [`WrongSignature`] if it is not.
    pub fn verify(&self, content: &[u8], signature: &SignaturePacket) -> Result<(), WrongSignature> {
        let digest = signature.digest_over(content).ok_or(WrongSignature)?;
        let raw = signature.rsa_signature(self.n.len()).ok_or(WrongSignature)?;
        self.parsed
            .verify_digest_sig(&digest, &raw)
            .map_err(|_| WrongSignature)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey")
            .field("id", &self.id)
            .field("bits", &self.bits())
            .finish()
    }
}

/// Reads modulus and exponent of an RSAPublicKey in DER (RFC 8017, appendix A.1.1).
pub(crate) fn rsa_components(der: &[u8]) -> Result<(&[u8], &[u8]), KeyError> {
    let not_der = |_: der::Error| KeyError::NotDer("RSAPublicKey");
    let mut reader = SliceReader::new(der).map_err(not_der)?;
    let (n, e) = reader
        .sequence(|inner| Ok::<_, der::Error>((UintRef::decode(inner)?, UintRef::decode(inner)?)))
        .map_err(not_der)?;
    reader.finish().map_err(not_der)?;
    Ok((n.as_bytes(), e.as_bytes()))
}

fn bit_length(number: &[u8]) -> usize {
    let number = without_leading_zeros(number);
    let zeros = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
    number.len() * 8 - zeros
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
