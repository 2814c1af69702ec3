//! The keys that sign serials.
//!
//! A key in a PEM file signs in this process. Every other key (an HSM, GnuPG, a key manager) signs
//! in a process of its own ([`agent`]), which this one can kill: a PKCS#11 module is a library that
//! may hang or crash, and often finds a token that was away only after it is loaded again.

mod agent;
mod error;
mod process;
mod protocol;
mod remote;
mod source;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use snap_assertions::{LocalSigner, PublicKey, SignaturePacket, Signer, SignerError};

pub(crate) use agent::run as run_agent;
pub(crate) use error::SerialKeyError;
pub(crate) use remote::{RemoteSigner, SigningLimits};
pub(crate) use source::SerialKeySource;

/// A lock that a panic in another thread does not break.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A key that signs serials.
pub(crate) enum SerialSigner {
    /// In this process.
    Local(LocalSigner),
    /// In a process of its own.
    Remote(Arc<RemoteSigner>),
}

impl SerialSigner {
    /// Checks that the key can sign; blocks the calling thread, at most for the time limit of a
    /// signature.
    pub(crate) fn check(&self) -> Result<(), SerialKeyError> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Remote(signer) => signer.check(),
        }
    }

    /// Returns true if only a new start of the key can help.
    pub(crate) fn is_lost_for_good(&self) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Remote(signer) => signer.is_lost_for_good(),
        }
    }
}

impl Signer for SerialSigner {
    fn public_key(&self) -> &PublicKey {
        match self {
            Self::Local(signer) => signer.public_key(),
            Self::Remote(signer) => signer.public_key(),
        }
    }

    fn sign(&self, content: &[u8], time: u32) -> Result<SignaturePacket, SignerError> {
        match self {
            Self::Local(signer) => signer.sign(content, time),
            Self::Remote(signer) => Ok(signer.sign(content, time)?),
        }
    }
}
