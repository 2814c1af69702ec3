//! Signing keys in a PEM file, GnuPG, an external key manager or a PKCS#11 token.
//!
//! [`KeySource::open`] returns a [`Signer`] for assertions, wherever the key is stored.
#![forbid(unsafe_code)]

mod error;
mod gnupg;
mod key_manager;
mod pem;
mod pin;
mod pkcs11;
mod program;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use snap_assertions::{MIN_SIGNING_BITS, PublicKey, Signer};

pub use error::SigningKeyError;
pub use gnupg::GnuPgError;
pub use key_manager::KeyManagerError;
pub use pem::PemError;
pub use pin::PinError;
pub use pkcs11::{TokenError, UriError};
pub use program::ProgramError;

/// Largest size of a key file in bytes. An RSA key of 16384 bits in PEM has less than 13 KiB.
const SECRET_SIZE_LIMIT: u64 = 64 * 1024;

/// A signing key, by the place where it is stored.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A private RSA key in a PEM file: PKCS#8 or PKCS#1, without a passphrase.
    Pem {
        /// The file.
        file: PathBuf,
        /// Accept a file that others than its owner can read or write.
        allow_exposed: bool,
    },
    /// A key in `$SNAP_GNUPG_HOME` or `~/.snap/gnupg`, where `snap create-key` makes keys.
    GnuPg {
        /// The user id or the fingerprint.
        name: String,
        /// The longest time for one signature.
        time_limit: Duration,
    },
    /// A key of an external key manager, with snapd's protocol for `$SNAPD_EXT_KEYMGR`.
    KeyManager {
        /// The key manager.
        program: OsString,
        /// The name of the key.
        key: String,
        /// The longest time for one signature.
        time_limit: Duration,
    },
    /// A key in an HSM or a smart card.
    Pkcs11 {
        /// PKCS#11 URI (RFC 7512), without a PIN.
        uri: String,
        /// The file with the PIN; else the URI's `pin-source`, `$PKCS11_PIN` or the terminal.
        pin_file: Option<PathBuf>,
        /// Accept a PIN file that others than its owner can read or write.
        allow_exposed: bool,
    },
}

impl KeySource {
    /// Opens the key, and asks for a PIN if one is needed.
    ///
    /// # Errors
    /// [`SigningKeyError`] if the key cannot be used, or has less than 4096 bits.
    pub fn open(&self) -> Result<Box<dyn Signer + Send>, SigningKeyError> {
        Ok(match self {
            KeySource::Pem { file, allow_exposed } => Box::new(pem::open(file, *allow_exposed)?),
            KeySource::GnuPg { name, time_limit } => Box::new(gnupg::GnuPg::open(name, *time_limit)?),
            KeySource::KeyManager {
                program,
                key,
                time_limit,
            } => Box::new(key_manager::KeyManager::open(
                program.clone(),
                key.clone(),
                *time_limit,
            )?),
            KeySource::Pkcs11 {
                uri,
                pin_file,
                allow_exposed,
            } => {
                let pin = pin::PinSource {
                    file: pin_file.as_deref(),
                    allow_exposed: *allow_exposed,
                };
                Box::new(pkcs11::Token::open(uri, &pin)?)
            }
        })
    }
}

/// Refuses a key that is too small before anything is signed with it; `key` names it in the error.
fn check_size(public: &PublicKey, key: impl FnOnce() -> String) -> Result<(), SigningKeyError> {
    let bits = public.bits();
    match bits < MIN_SIGNING_BITS {
        true => Err(SigningKeyError::TooSmall { key: key(), bits }),
        false => Ok(()),
    }
}
