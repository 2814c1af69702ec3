//! Public keys: as assertions carry them, as SubjectPublicKeyInfo, and their ids.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents};
use der::asn1::{ObjectIdentifier, UintRef};
use der::{Decode, Reader, SliceReader};
use spki::SubjectPublicKeyInfoRef;

use crate::digest::sha3_384;
use crate::openpgp::{
    PacketError, SignaturePacket, decode_text, encode_text, public_key_packet, read_first_public_key,
    read_public_key,
};

/// rsaEncryption (RFC 8017, appendix A.1).
pub(crate) const OID_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Why a public key cannot be used. The texts continue a sentence that names the key or the header it stands
/// in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The encoded form does not hold a public key.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// The bytes are not the DER encoding of the expected structure.
    #[error("is not a {0} in DER")]
    NotDer(&'static str),
    /// The text is not base64.
    #[error("is not base64 text")]
    NotBase64,
    /// The key is of another kind than those that may stand here.
    #[error("holds a key of kind {found}, which cannot be used: {supported}")]
    Kind {
        /// The kind of the key.
        found: String,
        /// The kinds that can be used.
        supported: &'static str,
    },
    /// The RSA key is too small or too large.
    #[error("holds an RSA key of {bits} bits: from {min} to 8192 are allowed")]
    Size {
        /// The size of the key.
        bits: usize,
        /// The smallest size allowed.
        min: usize,
    },
    /// The exponent is more than three bytes long, which snapd does not take.
    #[error("holds an RSA key whose exponent is larger than 24 bits")]
    LargeExponent,
    /// The numbers do not make a key.
    #[error("does not hold a valid key")]
    Invalid,
}

/// Why a signature was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The signature was made with another key.
    #[error("the signature is by the key {needed}, not by {given}")]
    OtherKey {
        /// The id of the key that the assertion names.
        needed: String,
        /// The id of the key that was given.
        given: String,
    },
    /// The signature cannot be read.
    #[error("the signature {0}")]
    Packet(PacketError),
    /// The signature does not belong to the content, or not to the key.
    #[error("the signature does not fit: the content was changed, or another key signed it")]
    BadSignature,
    /// The key's account is not the one in whose name the assertion is signed.
    #[error("the assertion is by the account {authority:?}, but the key belongs to {account:?}")]
    OtherAccount {
        /// The assertion's `authority-id`.
        authority: String,
        /// The account-key's `account-id`.
        account: String,
    },
    /// The account-key's constraints do not allow such an assertion.
    #[error("the constraints of the account-key do not allow this assertion")]
    Constraints,
    /// The time now lies outside the account-key's validity.
    #[error("the key is not valid at {time}, only {validity}")]
    NotValidNow {
        /// The time asked for.
        time: String,
        /// From when to when the key is valid.
        validity: String,
    },
    /// The assertion's timestamp lies outside the account-key's validity.
    #[error("the assertion's timestamp {time} lies outside the validity of its key: {validity}")]
    TimestampOutside {
        /// The header `timestamp`.
        time: String,
        /// From when to when the key is valid.
        validity: String,
    },
    /// The assertion's headers are not what its type demands.
    #[error(transparent)]
    Header(#[from] Box<crate::error::HeaderError>),
}

impl From<PacketError> for VerifyError {
    fn from(error: PacketError) -> Self {
        Self::Packet(error)
    }
}

/// An RSA public key that signs assertions: an account's, a device's or an issuer's.
///
/// Its size is from 2048 to 8192 bits. Two keys are equal if their ids are.
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
    /// If it does not hold an RSA key of a usable size.
    pub fn decode(text: &str) -> Result<Self, KeyError> {
        let (n, e) = read_public_key(&decode_text(text)?)?;
        Self::from_components(&n, &e)
    }

    /// Reads the DER encoding of a SubjectPublicKeyInfo (RFC 5280), as `openssl rsa -pubout -outform DER`,
    /// PKCS#11 tools and key managers write it.
    ///
    /// # Errors
    /// If it does not hold an RSA key of a usable size.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let spki =
            SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::NotDer("SubjectPublicKeyInfo"))?;
        if spki.algorithm.oid != OID_RSA {
            return Err(KeyError::Kind {
                found: spki.algorithm.oid.to_string(),
                supported: "assertions are signed with RSA",
            });
        }
        let key = spki.subject_public_key.as_bytes().unwrap_or_default();
        let (n, e) = rsa_components(key)?;
        Self::from_components(n, e)
    }

    /// Reads the primary key at the start of binary OpenPGP packets, as `gpg --export` writes them. Its creation
    /// time there does not matter, so that the id is another number than GnuPG's fingerprint.
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
    /// If they do not start with an RSA key of a usable size.
    pub fn from_openpgp(packets: &[u8]) -> Result<Self, KeyError> {
        let (n, e) = read_first_public_key(packets)?;
        Self::from_components(&n, &e)
    }

    /// Makes a key of a modulus and an exponent, both big-endian.
    ///
    /// # Errors
    /// If the size is not usable or the numbers do not make a key.
    pub fn from_components(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
        let bits = bit_length(n);
        if !(2048..=8192).contains(&bits) {
            return Err(KeyError::Size { bits, min: 2048 });
        }
        // What snapd's OpenPGP library takes.
        if e.len() > 3 {
            return Err(KeyError::LargeExponent);
        }
        // aws-lc checks neither for a key made of components.
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

    /// The DER encoding of the SubjectPublicKeyInfo.
    pub fn to_spki_der(&self) -> Vec<u8> {
        // This is how aws-lc keeps the bytes of a key made from components; nothing can fail here.
        self.parsed
            .as_der()
            .map(|der| der.as_ref().to_vec())
            .unwrap_or_default()
    }

    /// The key id: base64url without padding of the SHA3-384 digest over the encoded form's bytes. It stands
    /// in the headers `sign-key-sha3-384`, `public-key-sha3-384` and `device-key-sha3-384`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The size of the modulus in bits.
    pub fn bits(&self) -> usize {
        bit_length(&self.n)
    }

    /// Checks that `signature` is this key's over `content`.
    ///
    /// # Errors
    /// [`VerifyError::BadSignature`] if it is not.
    pub fn verify(&self, content: &[u8], signature: &SignaturePacket) -> Result<(), VerifyError> {
        let digest = signature.digest_over(content).ok_or(VerifyError::BadSignature)?;
        let raw = signature
            .rsa_signature(self.n.len())
            .ok_or(VerifyError::BadSignature)?;
        self.parsed
            .verify_digest_sig(&digest, &raw)
            .map_err(|_| VerifyError::BadSignature)
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

/// Modulus and exponent of an RSAPublicKey in DER (RFC 8017, appendix A.1.1).
pub(crate) fn rsa_components(der: &[u8]) -> Result<(&[u8], &[u8]), KeyError> {
    let not_der = |_: der::Error| KeyError::NotDer("RSAPublicKey");
    let mut reader = SliceReader::new(der).map_err(not_der)?;
    let (n, e) = reader
        .sequence(|inner| Ok::<_, der::Error>((UintRef::decode(inner)?, UintRef::decode(inner)?)))
        .map_err(not_der)?;
    reader.finish().map_err(not_der)?;
    Ok((n.as_bytes(), e.as_bytes()))
}

pub(crate) fn bit_length(number: &[u8]) -> usize {
    let number = without_leading_zeros(number);
    let zeros = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
    number.len() * 8 - zeros
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
