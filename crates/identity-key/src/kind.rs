//! The kinds of hardware identity keys.

use std::fmt;
use std::str::FromStr;

use miette::Diagnostic;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The kind of a hardware identity key. Its name is the same in settings, record, output and
/// messages: `ecdsa-p256`, `ecdsa-p384`, `rsa-2048`, `rsa-3072`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// ECDSA on NIST P-256, signing SHA-256 digests.
    #[default]
    EcdsaP256,
    /// ECDSA on NIST P-384, signing SHA-384 digests.
    EcdsaP384,
    /// RSA, PKCS#1 v1.5, signing SHA-256 digests. From 2048 to 8192 bits.
    Rsa {
        /// The size of the modulus.
        bits: u16,
    },
}

impl KeyKind {
    /// RSA with 2048 bits.
    pub const RSA_2048: KeyKind = KeyKind::Rsa { bits: 2048 };
    /// RSA with 3072 bits. Many TPMs do not have it.
    pub const RSA_3072: KeyKind = KeyKind::Rsa { bits: 3072 };

    /// The kinds that a device of this project can make, the default first.
    pub const OF_DEVICES: [KeyKind; 4] = [
        KeyKind::EcdsaP256,
        KeyKind::EcdsaP384,
        KeyKind::RSA_2048,
        KeyKind::RSA_3072,
    ];

    /// The hash that a device signs with such a key.
    pub const fn hash(self) -> Hash {
        match self {
            KeyKind::EcdsaP384 => Hash::Sha384,
            KeyKind::EcdsaP256 | KeyKind::Rsa { .. } => Hash::Sha256,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyKind::EcdsaP256 => f.pad("ecdsa-p256"),
            KeyKind::EcdsaP384 => f.pad("ecdsa-p384"),
            KeyKind::Rsa { bits } => write!(f, "rsa-{bits}"),
        }
    }
}

/// The name is not that of a kind that a device can make.
#[derive(Debug, Error, Diagnostic)]
#[error("`{0}` is not a kind of identity key")]
#[diagnostic(
    code("key-kind-unknown"),
    help("Use ecdsa-p256, ecdsa-p384, rsa-2048 or rsa-3072")
)]
pub struct UnknownKind(pub String);

impl FromStr for KeyKind {
    type Err = UnknownKind;

    /// Reads the name of one of [`KeyKind::OF_DEVICES`].
    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let mut kinds = KeyKind::OF_DEVICES.into_iter();
        kinds
            .find(|kind| kind.to_string() == name)
            .ok_or_else(|| UnknownKind(name.to_owned()))
    }
}

impl Serialize for KeyKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// The hash over which a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
}

impl Hash {
    /// The value of `signature-hash-algorithm` in a registration body: lower case, no dash.
    pub const fn name(self) -> &'static str {
        match self {
            Hash::Sha256 => "sha256",
            Hash::Sha384 => "sha384",
        }
    }

    /// The digest of `message`, as raw bytes.
    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha256 => hmac_sha256::Hash::hash(message).to_vec(),
            Hash::Sha384 => hmac_sha512::sha384::Hash::hash(message).to_vec(),
        }
    }
}

/// The name is not that of a hash that an identity key signs.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[error("`{0}` is not a hash algorithm of identity keys")]
#[diagnostic(code("hash-unknown"), help("Use sha256 or sha384"))]
pub struct UnknownHash(pub String);

impl FromStr for Hash {
    type Err = UnknownHash;

    /// Reads a name as [`Hash::name`] gives it.
    fn from_str(name: &str) -> Result<Self, UnknownHash> {
        match name {
            "sha256" => Ok(Hash::Sha256),
            "sha384" => Ok(Hash::Sha384),
            other => Err(UnknownHash(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Hash, KeyKind};

    #[test]
    fn every_hash_is_read_by_its_name() {
        for hash in [Hash::Sha256, Hash::Sha384] {
            assert_eq!(hash.name().parse(), Ok(hash));
        }
        for name in ["", "SHA256", "SHA-384", "sha512"] {
            assert!(name.parse::<Hash>().is_err(), "{name}");
        }
    }

    /// The examples of FIPS 180 for one block.
    #[test]
    fn digests_are_those_of_the_standard() {
        let [sha256, sha384] = [Hash::Sha256, Hash::Sha384].map(|hash| hex(&hash.digest(b"abc")));
        assert_eq!(
            sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            sha384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"
        );
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn every_kind_is_read_by_its_name() {
        for (kind, name) in
            KeyKind::OF_DEVICES
                .into_iter()
                .zip(["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072"])
        {
            assert_eq!(kind.to_string(), name);
            assert_eq!(name.parse::<KeyKind>().unwrap(), kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), name);
            assert_eq!(serde_json::from_value::<KeyKind>(name.into()).unwrap(), kind);
        }
        for name in ["", "rsa-1024", "rsa-4096", "ECDSA-P256", "ed25519"] {
            assert!(name.parse::<KeyKind>().is_err(), "{name}");
        }
    }
}
