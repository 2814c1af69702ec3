//! Where the identity key is kept, and what a record holds to find it there again.

use std::fmt;
use std::str::FromStr;

use failure::Diagnostic;
use thiserror::Error;

use super::IdentityError;
use crate::pkcs11::TokenKeyReference;
use crate::tpm::KeyName;

/// This program was built without the backend that the settings name.
#[derive(Debug, Error, Diagnostic)]
#[error("this program was built without the key backend {0}")]
#[diagnostic(
    code("key-backend-not-built"),
    help("Build the hooks with `cargo build --features {0}`, or set `key-backend` to another backend")
)]
pub struct BackendNotBuilt(pub KeyBackend);

/// The keeper of the identity key: the setting `key-backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyBackend {
    /// The device's TPM.
    #[default]
    Tpm,
    /// A token behind a PKCS#11 module: a secure element, OP-TEE, an HSM.
    Pkcs11,
    /// A file in the data directory of the gadget.
    Software,
}

impl KeyBackend {
    /// All backends, the default first.
    pub const ALL: [KeyBackend; 3] = [KeyBackend::Tpm, KeyBackend::Pkcs11, KeyBackend::Software];

    /// The value of the setting `key-backend`.
    pub const fn name(self) -> &'static str {
        match self {
            KeyBackend::Tpm => "tpm",
            KeyBackend::Pkcs11 => "pkcs11",
            KeyBackend::Software => "software",
        }
    }

    /// Returns true if this program was built with the backend (a feature of its crate).
    pub const fn is_built(self) -> bool {
        match self {
            KeyBackend::Tpm => cfg!(feature = "tpm"),
            KeyBackend::Pkcs11 => cfg!(feature = "pkcs11"),
            KeyBackend::Software => cfg!(feature = "software"),
        }
    }

    /// # Errors
    /// [`IdentityError::BackendNotBuilt`].
    pub(super) fn check_built(self) -> Result<(), IdentityError> {
        match self.is_built() {
            true => Ok(()),
            false => Err(IdentityError::BackendNotBuilt(BackendNotBuilt(self))),
        }
    }
}

impl fmt::Display for KeyBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The name is not that of a backend.
#[derive(Clone, Debug, Error, Diagnostic)]
#[error("`{0}` is not a key backend")]
#[diagnostic(code("key-backend-unknown"), help("Use tpm, pkcs11 or software"))]
pub struct UnknownBackend(pub String);

impl FromStr for KeyBackend {
    type Err = UnknownBackend;

    /// Reads the name of a backend.
    fn from_str(name: &str) -> Result<Self, UnknownBackend> {
        let mut all = KeyBackend::ALL.into_iter();
        all.find(|backend| backend.name() == name)
            .ok_or_else(|| UnknownBackend(name.to_owned()))
    }
}

/// What a record holds to find the key again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyReference {
    /// The TPM's Name of the key, which covers all of its public area.
    Tpm(KeyName),
    /// A key in a token.
    Pkcs11(TokenKeyReference),
    /// The key file beside the record.
    Software,
}

impl KeyReference {
    /// The keeper of the key.
    pub fn backend(&self) -> KeyBackend {
        match self {
            KeyReference::Tpm(_) => KeyBackend::Tpm,
            KeyReference::Pkcs11(_) => KeyBackend::Pkcs11,
            KeyReference::Software => KeyBackend::Software,
        }
    }

    /// The TPM's Name of the key, `None` if the key is not in a TPM.
    pub fn tpm_name(&self) -> Option<&KeyName> {
        match self {
            KeyReference::Tpm(name) => Some(name),
            KeyReference::Pkcs11(_) | KeyReference::Software => None,
        }
    }
}
