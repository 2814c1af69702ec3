//! The algorithms a hardware identity key can have.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha384};

/// The algorithm of a hardware identity key. Its name is the same in the settings, the record and messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA on NIST P-256, signing SHA-256 digests.
    #[default]
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// ECDSA on NIST P-384, signing SHA-384 digests.
    #[serde(rename = "ecdsa-p384")]
    EcdsaP384,
    /// RSA with 2048 bits, PKCS#1 v1.5, signing SHA-256 digests.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA with 3072 bits, PKCS#1 v1.5, signing SHA-256 digests. Many TPMs do not have it.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
}

impl Algorithm {
    /// All algorithms, the default first.
    pub const ALL: [Algorithm; 4] = [
        Algorithm::EcdsaP256,
        Algorithm::EcdsaP384,
        Algorithm::Rsa2048,
        Algorithm::Rsa3072,
    ];

    /// The name in settings, record and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::EcdsaP256 => "ecdsa-p256",
            Algorithm::EcdsaP384 => "ecdsa-p384",
            Algorithm::Rsa2048 => "rsa-2048",
            Algorithm::Rsa3072 => "rsa-3072",
        }
    }

    /// The hash that the key signs.
    pub const fn hash(self) -> Hash {
        match self {
            Algorithm::EcdsaP384 => Hash::Sha384,
            Algorithm::EcdsaP256 | Algorithm::Rsa2048 | Algorithm::Rsa3072 => Hash::Sha256,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The hash over which a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
            Hash::Sha256 => Sha256::digest(message).to_vec(),
            Hash::Sha384 => Sha384::digest(message).to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Algorithm;

    #[test]
    fn settings_and_messages_use_the_same_name() {
        for algorithm in Algorithm::ALL {
            assert_eq!(
                serde_json::to_value(algorithm).unwrap(),
                algorithm.name(),
                "{algorithm:?}"
            );
        }
    }
}
