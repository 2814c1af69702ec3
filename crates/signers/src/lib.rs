//! Where a signing key is kept: a PEM file, GnuPG, an external key manager, or a PKCS#11 token.
//!
//! [`KeySource::open`] gives a [`Signer`] for assertions, whatever keeps the key.
#![forbid(unsafe_code)]

mod gnupg;
mod key_manager;
mod pem;
mod pin;
mod pkcs11;
mod program;
mod secret_file;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use snap_assertions::{MIN_SIGNING_BITS, PublicKey, Signer};

/// A signing key, by the place where it is kept.
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
    /// If the key cannot be used, or has less than 4096 bits.
    pub fn open(&self) -> anyhow::Result<Box<dyn Signer + Send>> {
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
                let pin = pin::Pin {
                    pin_file: pin_file.as_deref(),
                    insecure: *allow_exposed,
                };
                Box::new(pkcs11::Token::open(uri, &pin)?)
            }
        })
    }
}

/// Refuses a key that is too small, before anything is done with it; `key` names it.
fn check_size(public: &PublicKey, key: &str) -> anyhow::Result<()> {
    let bits = public.bits();
    if bits < MIN_SIGNING_BITS {
        bail!("{key} has {bits} bits, at least {MIN_SIGNING_BITS} are needed. Sign with a larger key");
    }
    Ok(())
}
