//! How tokens encode public keys and signatures.

use cryptoki::object::Attribute;
use der::Decode as _;
use der::asn1::OctetStringRef;
use identity_key::{KeyKind, Unique};

use crate::ecdsa;

/// secp256r1 and secp384r1 as CKA_EC_PARAMS: object identifiers in DER (RFC 5480 section 2.1.1.1).
pub(super) const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(super) const P384: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
/// The uncompressed form of a point (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// The kind of a key and its public half, from the attributes of its objects.
pub(super) fn unique(attributes: &[Attribute]) -> Option<(KeyKind, Unique)> {
    let point = attributes.iter().find_map(|attribute| match attribute {
        Attribute::EcPoint(point) if !point.is_empty() => Some(point.as_slice()),
        _ => None,
    });
    let curve = attributes.iter().find_map(|attribute| match attribute {
        Attribute::EcParams(curve) if *curve == P256 => Some((KeyKind::EcdsaP256, 32)),
        Attribute::EcParams(curve) if *curve == P384 => Some((KeyKind::EcdsaP384, 48)),
        _ => None,
    });
    if let Some((point, (kind, length))) = point.zip(curve) {
        // PKCS#11 wants an OCTET STRING around the point; some tokens leave it out.
        let point = match <&OctetStringRef>::from_der(point) {
            Ok(inner) => inner.as_bytes(),
            Err(_) => point,
        };
        let (tag, coordinates) = point.split_first()?;
        let (x, y) = coordinates.split_at_checked(length)?;
        let is_whole = *tag == UNCOMPRESSED && y.len() == length;
        let (x, y) = (x.to_vec(), y.to_vec());
        return is_whole.then_some((kind, Unique::Point { x, y }));
    }
    attributes.iter().find_map(|attribute| match attribute {
        Attribute::Modulus(modulus) if !modulus.is_empty() => {
            let modulus: Vec<u8> = modulus.iter().copied().skip_while(|&byte| byte == 0).collect();
            let kind = match modulus.len() {
                384 => KeyKind::RSA_3072,
                _ => KeyKind::RSA_2048,
            };
            Some((kind, Unique::Modulus(modulus)))
        }
        _ => None,
    })
}

/// The pair of a token, r and s of equal length (PKCS#11 3.0, section 6.3.1), in DER.
pub(super) fn signature(pair: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = pair.split_at_checked(pair.len() / 2)?;
    let is_pair = r.len() == s.len() && !r.is_empty();
    is_pair.then(|| ecdsa::signature_der(r, s).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_read_with_and_without_its_octet_string() {
        let point = [&[UNCOMPRESSED][..], &[1; 32], &[2; 32]].concat();
        let wrapped = [&[0x04, 65][..], &point].concat();
        for point in [point.clone(), wrapped] {
            let attributes = [Attribute::EcPoint(point), Attribute::EcParams(P256.to_vec())];
            let (kind, found) = unique(&attributes).unwrap();
            let expected = Unique::Point {
                x: vec![1; 32],
                y: vec![2; 32],
            };
            assert_eq!((kind, found), (KeyKind::EcdsaP256, expected));
        }
        let short = [
            Attribute::EcPoint(point[..60].to_vec()),
            Attribute::EcParams(P256.to_vec()),
        ];
        assert!(unique(&short).is_none());
        assert!(unique(&[]).is_none());
    }

    #[test]
    fn a_signature_is_a_pair_of_equal_length() {
        let der = signature(&[&[0; 31][..], &[1], &[0x80; 32]].concat()).unwrap();
        let expected = [&[0x30, 38, 2, 1, 1, 2, 33, 0][..], &[0x80; 32]].concat();
        assert_eq!(der, expected);
        assert!(signature(&[]).is_none() && signature(&[1; 63]).is_none());
    }
}
