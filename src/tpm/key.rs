//! Keys in the TPM and their Names.

use std::fmt;

#[cfg(feature = "tpm")]
use tss_esapi::handles::KeyHandle;

/// The Name of a TPM object: the algorithm of its hash in two bytes, then the hash of its public
/// area (TPM 2.0 Library part 1, section 16). Two keys with the same Name are the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName(Vec<u8>);

impl KeyName {
    #[cfg(feature = "tpm")]
    pub(super) fn new(bytes: &[u8]) -> Self {
        KeyName(bytes.to_vec())
    }

    /// The Name in hexadecimal digits, as in the record.
    pub(crate) fn from_hex(digits: &str) -> Option<Self> {
        hex::decode(digits).ok().map(KeyName)
    }

    /// The bytes of the Name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

/// A key that is loaded in the TPM, or persistent in it.
#[cfg(feature = "tpm")]
#[derive(Clone, Debug)]
pub struct Key {
    pub(super) handle: KeyHandle,
    pub(super) name: KeyName,
}

#[cfg(feature = "tpm")]
impl Key {
    /// The Name of the key.
    pub fn name(&self) -> &KeyName {
        &self.name
    }
}
