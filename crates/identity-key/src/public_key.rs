//! The public half of a hardware identity key, as the hardware-identity assertion carries it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use der::asn1::{BitString, ObjectIdentifier, UintRef};
use der::{Any, Decode, Encode};
use miette::Diagnostic;
use sha3::{Digest, Sha3_384};
use spki::{
    AlgorithmIdentifierOwned, AlgorithmIdentifierRef, SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef,
};
use thiserror::Error;

use crate::{DigestForm, KeyKind};

/// id-ecPublicKey, RFC 5480 section 2.1.1.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// secp256r1, RFC 5480 section 2.1.1.1.
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// secp384r1, RFC 5480 section 2.1.1.1.
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// secp521r1, RFC 5480 section 2.1.1.1.
const SECP521R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
/// rsaEncryption, RFC 8017 appendix A.1.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// id-Ed25519, RFC 8410 section 3.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// The tag of an uncompressed point, SEC 1 section 2.3.3.
const UNCOMPRESSED_POINT: u8 = 4;
/// 65537, the exponent that a TPM uses if the template says 0.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];
/// The sizes of RSA keys in bits that a model service can verify with.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Why bytes or text are not the public half of a hardware identity key.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
pub enum IdentityKeyError {
    /// The text is not base64.
    #[error("is not base64 text")]
    #[diagnostic(
        code("key-not-base64"),
        help("Export the key again with `hardware-identity export`")
    )]
    NotBase64,
    /// The bytes are not the DER encoding of the structure.
    #[error("is not a {0} in DER")]
    #[diagnostic(
        code("key-not-der"),
        help("Export the key again with `hardware-identity export`")
    )]
    NotDer(&'static str),
    /// A key of another kind.
    #[error("holds a key of kind {0}, which a hardware identity cannot have")]
    #[diagnostic(
        code("key-kind-unsupported"),
        help("Use ECDSA on P-256 or P-384, or RSA of 2048 to 8192 bits")
    )]
    Kind(String),
    /// An RSA key of another size.
    #[error("holds an RSA key of {bits} bits: from 2048 to 8192 are allowed")]
    #[diagnostic(
        code("key-size-unsupported"),
        help("Use ECDSA on P-256 or P-384, or a larger RSA key")
    )]
    Size {
        /// The size of the modulus.
        bits: usize,
    },
    /// A key that no device of this project makes.
    #[error("is neither ECDSA on P-256 or P-384 nor RSA with 2048 or 3072 bits and exponent 65537")]
    #[diagnostic(
        code("key-not-of-device"),
        help("Use the key that prepare-device made; export it with `hardware-identity export`")
    )]
    NotOfDevice,
}

/// What makes one key of a kind different from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unique {
    /// The coordinates of the point: big endian, each as long as the field of the curve.
    Point {
        /// The x coordinate.
        x: Vec<u8>,
        /// The y coordinate.
        y: Vec<u8>,
    },
    /// The modulus: big endian, no leading zero.
    Modulus(Vec<u8>),
}

/// The public half of a hardware identity key: a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
///
/// That a point is on its curve is not checked here; that needs a cryptographic library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityPublicKey {
    kind: KeyKind,
    unique: Unique,
    der: Vec<u8>,
}

impl IdentityPublicKey {
    /// The key of a device, of one of [`KeyKind::OF_DEVICES`], with these coordinates or this
    /// modulus, big endian. Leading zeros of coordinates, which some TPMs leave out, may be missing.
    ///
    /// # Errors
    /// [`IdentityKeyError::NotOfDevice`] if the numbers do not fit the kind.
    pub fn of_device(kind: KeyKind, unique: Unique) -> Result<Self, IdentityKeyError> {
        let (unique, der) = match (kind, unique) {
            (KeyKind::EcdsaP256, Unique::Point { x, y }) => ec_key(SECP256R1, 32, &x, &y)?,
            (KeyKind::EcdsaP384, Unique::Point { x, y }) => ec_key(SECP384R1, 48, &x, &y)?,
            (KeyKind::RSA_2048, Unique::Modulus(modulus)) => rsa_key(256, modulus)?,
            (KeyKind::RSA_3072, Unique::Modulus(modulus)) => rsa_key(384, modulus)?,
            _ => return Err(IdentityKeyError::NotOfDevice),
        };
        Ok(IdentityPublicKey { kind, unique, der })
    }

    /// Reads a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// If the bytes are not one, or the key is of another kind or size than a model service can
    /// verify with.
    // Inlined with what it calls: the release profile optimises this crate for size, but its callers
    // that read many keys for speed.
    #[inline]
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityKeyError> {
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| not_der("SubjectPublicKeyInfo"))?;
        let key = info
            .subject_public_key
            .as_bytes()
            .ok_or_else(|| not_der("SubjectPublicKeyInfo"))?;
        let (kind, unique) = match info.algorithm.oid {
            RSA_ENCRYPTION => read_rsa(&info.algorithm, key)?,
            EC_PUBLIC_KEY => read_ec(&info.algorithm, key)?,
            ED25519 => return Err(IdentityKeyError::Kind("Ed25519".to_owned())),
            other => return Err(IdentityKeyError::Kind(other.to_string())),
        };
        Ok(IdentityPublicKey {
            kind,
            unique,
            der: der.to_vec(),
        })
    }

    /// Reads the value of the header `hardware-id-key`: the base64 text of a SubjectPublicKeyInfo in
    /// DER, on one line or on several, as in a PEM file between the `BEGIN` and `END` lines.
    ///
    /// # Errors
    /// [`IdentityKeyError::NotBase64`], and those of [`Self::from_der`].
    #[inline]
    pub fn from_header(text: &str) -> Result<Self, IdentityKeyError> {
        // Nearly all are on one line.
        let der = STANDARD.decode(text).or_else(|_| {
            let flat: Vec<u8> = text.bytes().filter(|byte| !b" \t\r\n".contains(byte)).collect();
            STANDARD.decode(flat).map_err(|_| IdentityKeyError::NotBase64)
        })?;
        Self::from_der(&der)
    }

    /// Returns the key if a device of this project can have made it.
    ///
    /// # Errors
    /// [`IdentityKeyError::NotOfDevice`] if it has another size or exponent.
    pub fn into_device_key(self) -> Result<Self, IdentityKeyError> {
        let ours = Self::of_device(self.kind, self.unique.clone())?;
        // Another exponent, or another encoding of the parameters, shows in the bytes.
        match ours == self {
            true => Ok(ours),
            false => Err(IdentityKeyError::NotOfDevice),
        }
    }

    /// The kind of the key.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// What distinguishes this key from others of its kind.
    pub fn unique(&self) -> &Unique {
        &self.unique
    }

    /// Returns true if this is an RSA key with another exponent than 65537, which is that of all keys
    /// of devices. snapd accepts any.
    pub fn has_unusual_exponent(&self) -> bool {
        // The key was read before, so this cannot fail.
        let is_usual = || -> Option<bool> {
            let info = SubjectPublicKeyInfoRef::from_der(&self.der).ok()?;
            let key = pkcs1::RsaPublicKeyRef::from_der(info.subject_public_key.as_bytes()?).ok()?;
            Some(key.public_exponent.as_bytes() == RSA_EXPONENT)
        };
        matches!(self.unique, Unique::Modulus(_)) && is_usual() != Some(true)
    }

    /// The SubjectPublicKeyInfo in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The value of the header `hardware-id-key` as a device writes it: standard base64 of the DER,
    /// padded, on one line.
    pub fn header_value(&self) -> String {
        STANDARD.encode(&self.der)
    }

    /// The value of the header `hardware-id-key-sha3-384` that goes with [`Self::header_value`]: 64
    /// characters of base64url without padding.
    pub fn digest(&self, form: DigestForm) -> String {
        let digest = match form {
            DigestForm::Text => Sha3_384::digest(self.header_value()),
            DigestForm::Der => Sha3_384::digest(&self.der),
        };
        URL_SAFE_NO_PAD.encode(digest)
    }

    /// The key as a PEM block `PUBLIC KEY`, as `openssl pkey -pubin` reads it (RFC 7468 section 13).
    ///
    /// # Errors
    /// Not expected for a key of this type; encoding can fail in the library.
    pub fn pem(&self) -> Result<String, IdentityKeyError> {
        der::pem::encode_string("PUBLIC KEY", der::pem::LineEnding::LF, &self.der)
            .map_err(|_| not_der("SubjectPublicKeyInfo"))
    }
}

fn not_der(structure: &'static str) -> IdentityKeyError {
    IdentityKeyError::NotDer(structure)
}

#[inline]
fn read_rsa(
    algorithm: &AlgorithmIdentifierRef<'_>,
    key: &[u8],
) -> Result<(KeyKind, Unique), IdentityKeyError> {
    // RFC 3279 section 2.3.1 demands NULL, and so does Go's crypto/x509, which snapd uses.
    if !algorithm
        .parameters
        .as_ref()
        .is_some_and(|parameters| parameters.is_null())
    {
        return Err(not_der(
            "SubjectPublicKeyInfo of an RSA key (with NULL parameters)",
        ));
    }
    let key = pkcs1::RsaPublicKeyRef::from_der(key).map_err(|_| not_der("RSAPublicKey"))?;
    let modulus = key.modulus.as_bytes();
    let bits = modulus
        .first()
        .map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
    match u16::try_from(bits) {
        Ok(size) if RSA_BITS.contains(&bits) => {
            Ok((KeyKind::Rsa { bits: size }, Unique::Modulus(modulus.to_vec())))
        }
        _ => Err(IdentityKeyError::Size { bits }),
    }
}

#[inline]
fn read_ec(
    algorithm: &AlgorithmIdentifierRef<'_>,
    key: &[u8],
) -> Result<(KeyKind, Unique), IdentityKeyError> {
    let unsupported = |found: String| Err(IdentityKeyError::Kind(found));
    let curve = algorithm
        .parameters
        .as_ref()
        .and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
    let (kind, size) = match curve {
        Some(SECP256R1) => (KeyKind::EcdsaP256, 32),
        Some(SECP384R1) => (KeyKind::EcdsaP384, 48),
        Some(SECP521R1) => return unsupported("ECDSA P-521".to_owned()),
        Some(other) => return unsupported(format!("ECDSA on the curve {other}")),
        None => return unsupported("ECDSA on an unnamed curve".to_owned()),
    };
    match key.split_first() {
        Some((&UNCOMPRESSED_POINT, point)) if point.len() == 2 * size => {
            let (x, y) = point.split_at(size);
            Ok((
                kind,
                Unique::Point {
                    x: x.to_vec(),
                    y: y.to_vec(),
                },
            ))
        }
        Some((&UNCOMPRESSED_POINT, _)) => Err(not_der("ECPoint of its curve")),
        _ => unsupported("ECDSA with a compressed point".to_owned()),
    }
}

fn ec_key(
    curve: ObjectIdentifier,
    size: usize,
    x: &[u8],
    y: &[u8],
) -> Result<(Unique, Vec<u8>), IdentityKeyError> {
    let (x, y) = (padded(x, size)?, padded(y, size)?);
    let point = [&[UNCOMPRESSED_POINT], x.as_slice(), y.as_slice()].concat();
    let parameters = Any::encode_from(&curve).map_err(|_| not_der("curve"))?;
    Ok((Unique::Point { x, y }, spki(EC_PUBLIC_KEY, parameters, &point)?))
}

fn rsa_key(size: usize, modulus: Vec<u8>) -> Result<(Unique, Vec<u8>), IdentityKeyError> {
    if modulus.len() != size || modulus.first().is_none_or(|&first| first < 0x80) {
        return Err(IdentityKeyError::NotOfDevice);
    }
    let encoded = || {
        let key = pkcs1::RsaPublicKeyRef {
            modulus: UintRef::new(&modulus)?,
            public_exponent: UintRef::new(&RSA_EXPONENT)?,
        };
        key.to_der()
    };
    let key = encoded().map_err(|_| not_der("RSAPublicKey"))?;
    let der = spki(RSA_ENCRYPTION, Any::null(), &key)?;
    Ok((Unique::Modulus(modulus), der))
}

fn spki(oid: ObjectIdentifier, parameters: Any, key: &[u8]) -> Result<Vec<u8>, IdentityKeyError> {
    let encoded = || {
        let info = SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned {
                oid,
                parameters: Some(parameters),
            },
            subject_public_key: BitString::from_bytes(key)?,
        };
        info.to_der()
    };
    encoded().map_err(|_| not_der("SubjectPublicKeyInfo"))
}

fn padded(coordinate: &[u8], size: usize) -> Result<Vec<u8>, IdentityKeyError> {
    let missing = size
        .checked_sub(coordinate.len())
        .ok_or(IdentityKeyError::NotOfDevice)?;
    Ok([vec![0; missing], coordinate.to_vec()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key in the documentation of the hardware-identity assertion.
    const DOCUMENTED: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAqGSa+XTdfa0ix0e7HaIAfNbRk7SYEF4o+1Xlr6XQQUKPstTchh+/Snv6dfV0O4M2yOpmm9xPu2VH+nePEAWhE/gxSA1dCDlb2BHR4mMw0odT7/Y4fnGpThrTYWgMQmM/F99elPvTbQxpBDWWajvmBxAuJHZ6vuEbtn68DBhx41mSKLtPLPSk91ndQWzw1M9aooOl0yYrr4p4am+Yh9GuApMmHXRwX+BdDyg3I9dnp2kiCXveDGJ9G86AjG5NRo38uoPlD0MNldHyS/cD7bRC4LYpL0R4LuEtXeUWi/VQYiWu1PgIGlj6Zuz6svLRZA03Fei2tl+EnlBbpl8sRb0x7QIDAQAB";

    #[test]
    fn the_documented_key_has_the_documented_digests() {
        let key = IdentityPublicKey::from_der(&STANDARD.decode(DOCUMENTED).unwrap()).unwrap();
        assert_eq!(key.header_value(), DOCUMENTED);
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
        let key = |x| IdentityPublicKey::of_device(KeyKind::EcdsaP256, Unique::Point { x, y: y.clone() });
        let short = key(vec![7; 31]).unwrap();
        let padded = key([&[0][..], &[7; 31]].concat()).unwrap();
        assert_eq!(short, padded);
        assert_eq!(IdentityPublicKey::from_der(short.der()).unwrap(), short);
        assert!(key(vec![1; 33]).is_err());
    }

    #[test]
    fn other_keys_are_refused() {
        let rsa = |modulus| IdentityPublicKey::of_device(KeyKind::RSA_2048, Unique::Modulus(modulus));
        let key = rsa(vec![0xc1; 256]).unwrap();
        let mut exponent_3 = key.der().to_vec();
        let last = exponent_3.len() - 1;
        exponent_3[last] = 3;
        let exponent_3 = IdentityPublicKey::from_der(&exponent_3).unwrap();
        assert!(exponent_3.has_unusual_exponent() && !key.has_unusual_exponent());
        assert_eq!(exponent_3.into_device_key(), Err(IdentityKeyError::NotOfDevice));
        assert_eq!(key.clone().into_device_key().as_ref(), Ok(&key));
        let trailing = [key.der(), &[0]].concat();
        assert!(IdentityPublicKey::from_der(&trailing).is_err());
        assert!(rsa(vec![0xc1; 128]).is_err());
        assert!(rsa(vec![0x41; 256]).is_err());
        assert!(IdentityPublicKey::from_der(b"").is_err());
    }
}
