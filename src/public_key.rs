//! The public half of a hardware identity key, as the hardware-identity assertion carries it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use der::asn1::{BitString, ObjectIdentifier, UintRef};
use der::{Any, Decode, Encode};
use serde::{Deserialize, Serialize};
use sha3::{Digest, Sha3_384};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use thiserror::Error;

use crate::algorithm::Algorithm;

/// id-ecPublicKey, RFC 5480 section 2.1.1.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// secp256r1, RFC 5480 section 2.1.1.1.
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// secp384r1, RFC 5480 section 2.1.1.1.
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// rsaEncryption, RFC 8017 appendix A.1.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// The tag of an uncompressed point, SEC 1 section 2.3.3.
const UNCOMPRESSED_POINT: u8 = 4;
/// 65537, the exponent that a TPM uses where the template says 0.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// Why some bytes are not a public key that a hardware identity can have.
#[derive(Debug, Error)]
pub enum PublicKeyError {
    /// The bytes are no SubjectPublicKeyInfo, or hold more than one.
    #[error("the public key is not a SubjectPublicKeyInfo in DER ({0})")]
    Der(#[from] der::Error),
    /// Another kind of key, or another size.
    #[error(
        "the public key is neither ECDSA on P-256 or P-384 nor RSA with 2048 or 3072 bits and exponent 65537"
    )]
    Kind,
}

/// What makes one key of an algorithm different from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unique {
    /// The point's coordinates: big endian, each as long as the curve's field.
    Point { x: Vec<u8>, y: Vec<u8> },
    /// The modulus: big endian, no leading zero.
    Modulus(Vec<u8>),
}

/// The public half of a hardware identity key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    unique: Unique,
    der: Vec<u8>,
}

impl PublicKey {
    /// The key of this algorithm with these coordinates or this modulus, big endian; leading zeros of
    /// coordinates, which some TPMs leave out, may be missing.
    ///
    /// # Errors
    /// [`PublicKeyError::Kind`] where the numbers do not fit the algorithm.
    pub(crate) fn new(algorithm: Algorithm, unique: Unique) -> Result<Self, PublicKeyError> {
        let (unique, der) = match (algorithm, unique) {
            (Algorithm::EcdsaP256, Unique::Point { x, y }) => ec_key(SECP256R1, 32, &x, &y)?,
            (Algorithm::EcdsaP384, Unique::Point { x, y }) => ec_key(SECP384R1, 48, &x, &y)?,
            (Algorithm::Rsa2048, Unique::Modulus(modulus)) => rsa_key(256, modulus)?,
            (Algorithm::Rsa3072, Unique::Modulus(modulus)) => rsa_key(384, modulus)?,
            _ => return Err(PublicKeyError::Kind),
        };
        Ok(PublicKey {
            algorithm,
            unique,
            der,
        })
    }

    /// Reads a SubjectPublicKeyInfo in DER (RFC 5280 section 4.1.2.7).
    ///
    /// # Errors
    /// Where the bytes are not such a structure, or the key is none that a hardware identity can have.
    pub fn from_der(der: &[u8]) -> Result<Self, PublicKeyError> {
        let info = SubjectPublicKeyInfoOwned::from_der(der)?;
        let key: &[u8] = info.subject_public_key.as_bytes().ok_or(PublicKeyError::Kind)?;
        let key = if info.algorithm.oid == RSA_ENCRYPTION {
            let rsa = pkcs1::RsaPublicKeyRef::from_der(key)?;
            let modulus = rsa.modulus.as_bytes().to_vec();
            let algorithm = match modulus.len() {
                256 => Algorithm::Rsa2048,
                _ => Algorithm::Rsa3072,
            };
            Self::new(algorithm, Unique::Modulus(modulus))?
        } else {
            let point = key
                .strip_prefix(&[UNCOMPRESSED_POINT])
                .ok_or(PublicKeyError::Kind)?;
            let (x, y) = point.split_at(point.len() / 2);
            let (x, y) = (x.to_vec(), y.to_vec());
            Self::new(curve_of(&info.algorithm)?, Unique::Point { x, y })?
        };
        // Whatever this type does not hold (another exponent, other parameters) shows here.
        if key.der == der {
            Ok(key)
        } else {
            Err(PublicKeyError::Kind)
        }
    }

    /// The algorithm of the key.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What distinguishes this key from others of its algorithm.
    pub(crate) fn unique(&self) -> &Unique {
        &self.unique
    }

    /// SubjectPublicKeyInfo, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The value of the header `hardware-id-key`: standard base64 of the DER, padded, on one line.
    pub fn header_text(&self) -> String {
        STANDARD.encode(&self.der)
    }

    /// The value of the header `hardware-id-key-sha3-384`: 64 characters of base64url without padding.
    pub fn digest(&self, form: DigestForm) -> String {
        let digest = match form {
            DigestForm::Text => Sha3_384::digest(self.header_text()),
            DigestForm::Der => Sha3_384::digest(&self.der),
        };
        URL_SAFE_NO_PAD.encode(digest)
    }

    /// The key as a PEM block `PUBLIC KEY`, as `openssl pkey -pubin` reads it (RFC 7468 section 13).
    ///
    /// # Errors
    /// None is expected for a key of this type; encoding is fallible in the library.
    pub fn pem(&self) -> Result<String, PublicKeyError> {
        Ok(
            der::pem::encode_string("PUBLIC KEY", der::pem::LineEnding::LF, &self.der)
                .map_err(der::Error::from)?,
        )
    }
}

/// Over what the digest of a key is taken. Both are in use; an assertion and its device must use the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DigestForm {
    /// Over the text of the header `hardware-id-key`: what every snapd release checks.
    #[default]
    Text,
    /// Over the DER bytes: what the example in the documentation shows, and snapd refuses.
    Der,
}

impl fmt::Display for DigestForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DigestForm::Text => "text",
            DigestForm::Der => "der",
        })
    }
}

fn ec_key(
    curve: ObjectIdentifier,
    size: usize,
    x: &[u8],
    y: &[u8],
) -> Result<(Unique, Vec<u8>), PublicKeyError> {
    let (x, y) = (padded(x, size)?, padded(y, size)?);
    let point = [&[UNCOMPRESSED_POINT], x.as_slice(), y.as_slice()].concat();
    let der = spki(EC_PUBLIC_KEY, Any::encode_from(&curve)?, &point)?;
    Ok((Unique::Point { x, y }, der))
}

fn rsa_key(size: usize, modulus: Vec<u8>) -> Result<(Unique, Vec<u8>), PublicKeyError> {
    if modulus.len() != size || modulus[0] < 0x80 {
        return Err(PublicKeyError::Kind);
    }
    let key = pkcs1::RsaPublicKeyRef {
        modulus: UintRef::new(&modulus)?,
        public_exponent: UintRef::new(&RSA_EXPONENT)?,
    };
    let der = spki(RSA_ENCRYPTION, Any::null(), &key.to_der()?)?;
    Ok((Unique::Modulus(modulus), der))
}

fn spki(oid: ObjectIdentifier, parameters: Any, key: &[u8]) -> Result<Vec<u8>, PublicKeyError> {
    let info = SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid,
            parameters: Some(parameters),
        },
        subject_public_key: BitString::from_bytes(key)?,
    };
    Ok(info.to_der()?)
}

fn curve_of(identifier: &AlgorithmIdentifierOwned) -> Result<Algorithm, PublicKeyError> {
    let parameters = identifier.parameters.as_ref().ok_or(PublicKeyError::Kind)?;
    let curve = parameters.decode_as::<ObjectIdentifier>()?;
    match (identifier.oid, curve) {
        (EC_PUBLIC_KEY, SECP256R1) => Ok(Algorithm::EcdsaP256),
        (EC_PUBLIC_KEY, SECP384R1) => Ok(Algorithm::EcdsaP384),
        _ => Err(PublicKeyError::Kind),
    }
}

fn padded(coordinate: &[u8], size: usize) -> Result<Vec<u8>, PublicKeyError> {
    let missing = size.checked_sub(coordinate.len()).ok_or(PublicKeyError::Kind)?;
    Ok([vec![0; missing], coordinate.to_vec()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key in the documentation of the hardware-identity assertion.
    const DOCUMENTED: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAqGSa+XTdfa0ix0e7HaIAfNbRk7SYEF4o+1Xlr6XQQUKPstTchh+/Snv6dfV0O4M2yOpmm9xPu2VH+nePEAWhE/gxSA1dCDlb2BHR4mMw0odT7/Y4fnGpThrTYWgMQmM/F99elPvTbQxpBDWWajvmBxAuJHZ6vuEbtn68DBhx41mSKLtPLPSk91ndQWzw1M9aooOl0yYrr4p4am+Yh9GuApMmHXRwX+BdDyg3I9dnp2kiCXveDGJ9G86AjG5NRo38uoPlD0MNldHyS/cD7bRC4LYpL0R4LuEtXeUWi/VQYiWu1PgIGlj6Zuz6svLRZA03Fei2tl+EnlBbpl8sRb0x7QIDAQAB";

    #[test]
    fn the_documented_key_has_the_documented_digests() {
        let key = PublicKey::from_der(&STANDARD.decode(DOCUMENTED).unwrap()).unwrap();
        assert_eq!(key.header_text(), DOCUMENTED);
        assert_eq!(
            key.digest(DigestForm::Der),
            "3ln0lMND7N2KgUVnNebvABm3YL_SYIqZ4jCcchri97SAsDblrR9Gq7Duk1gG7Fqc"
        );
        assert_eq!(
            key.digest(DigestForm::Text),
            "2QWYlD8JB6zL8ykU5QeNojmol1k0saC3sN9O4iAYphoOLE9tuyhtbCztnIMC2C3b"
        );
    }

    #[test]
    fn a_coordinate_with_a_leading_zero_is_padded() {
        let y = vec![9; 32];
        let key = |x| PublicKey::new(Algorithm::EcdsaP256, Unique::Point { x, y: y.clone() });
        let short = key(vec![7; 31]).unwrap();
        let padded = key([&[0][..], &[7; 31]].concat()).unwrap();
        assert_eq!(short, padded);
        assert_eq!(PublicKey::from_der(short.der()).unwrap(), short);
        assert!(key(vec![1; 33]).is_err());
    }

    #[test]
    fn other_keys_are_refused() {
        let rsa = |modulus| PublicKey::new(Algorithm::Rsa2048, Unique::Modulus(modulus));
        let key = rsa(vec![0xc1; 256]).unwrap();
        let mut exponent_3 = key.der().to_vec();
        let last = exponent_3.len() - 1;
        exponent_3[last] = 3;
        assert!(PublicKey::from_der(&exponent_3).is_err());
        let trailing = [key.der(), &[0]].concat();
        assert!(PublicKey::from_der(&trailing).is_err());
        assert!(rsa(vec![0xc1; 128]).is_err());
        assert!(rsa(vec![0x41; 256]).is_err());
        assert!(PublicKey::from_der(b"").is_err());
    }
}
