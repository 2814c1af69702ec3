//! Certificates for tests, built byte by byte, so that they can have what openssl does not write.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = match content.len() {
        length @ ..=0x7f => vec![length as u8],
        length @ ..=0xff => vec![0x81, length as u8],
        length => vec![0x82, (length >> 8) as u8, length as u8],
    };
    [vec![tag], length, content].concat()
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

/// 1.2.840.10045.4.3.2
const ECDSA_WITH_SHA256: &[u8] = &[0x30, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// id-ecPublicKey with P-256.
const P256: &[u8] = &[
    0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7,
];
pub(crate) const EK_USAGE: &[u8] = &[6, 5, 0x67, 0x81, 0x05, 0x08, 0x01];
/// id-kp-clientAuth
pub(crate) const CLIENT_AUTH: &[u8] = &[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2];
const TRUE: &[u8] = &[1, 1, 0xff];

/// A name with one attribute, the common name.
pub(crate) fn common_name(name: &str) -> Vec<u8> {
    sequence(&[&tlv(0x31, &[&attribute(3, name)])])
}

/// 2.5.4.N
pub(crate) fn attribute(number: u8, value: &str) -> Vec<u8> {
    sequence(&[&[6, 3, 0x55, 4, number], &tlv(0x0c, &[value.as_bytes()])])
}

pub(crate) fn extension(id: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { TRUE } else { &[] };
    sequence(&[&[6, 3, 0x55, 0x1d, id], critical, &tlv(4, &[value])])
}

pub(crate) fn usage(usages: &[&[u8]]) -> Vec<u8> {
    extension(37, false, &sequence(usages))
}

/// basicConstraints of a CA.
pub(crate) fn ca() -> Vec<u8> {
    extension(19, true, &sequence(&[TRUE]))
}

pub(crate) struct Key(EcdsaKeyPair);

impl Key {
    pub(crate) fn new() -> Self {
        Key(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    /// SubjectPublicKeyInfo.
    pub(crate) fn public(&self) -> Vec<u8> {
        sequence(&[P256, &tlv(3, &[&[0], self.0.public_key().as_ref()])])
    }
}

/// The content of a certificate.
pub(crate) struct Template {
    pub(crate) subject: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    /// UTCTime.
    pub(crate) validity: [&'static str; 2],
    pub(crate) public_key: Vec<u8>,
    pub(crate) extensions: Vec<Vec<u8>>,
}

impl Template {
    pub(crate) fn new(subject: &str, issuer: &str, public_key: Vec<u8>, extensions: &[Vec<u8>]) -> Self {
        Template {
            subject: common_name(subject),
            issuer: common_name(issuer),
            validity: ["200101000000Z", "400101000000Z"],
            public_key,
            extensions: extensions.to_vec(),
        }
    }

    pub(crate) fn sign(&self, issuer: &Key) -> Vec<u8> {
        let times = self.validity.map(|time| tlv(0x17, &[time.as_bytes()]));
        let tbs = sequence(&[
            &[0xa0, 3, 2, 1, 2],
            &[2, 2, 0x12, 0x34],
            ECDSA_WITH_SHA256,
            &self.issuer,
            &sequence(&[&times[0], &times[1]]),
            &self.subject,
            &self.public_key,
            &tlv(0xa3, &[&sequence(&[&self.extensions.concat()])]),
        ]);
        let signature = issuer.0.sign(&SystemRandom::new(), &tbs).unwrap();
        sequence(&[&tbs, ECDSA_WITH_SHA256, &tlv(3, &[&[0], signature.as_ref()])])
    }
}
