//! The identity key in a file: PKCS#8 in PEM, which only root can read.
//!
//! It is as safe as the disk that it is on: who can read the disk of the device, or is root on it,
//! can copy the key. OpenSSL makes the key and signs: base snaps have it, and so does each gadget
//! with tpm2-tss. OpenSSL wipes private numbers when it frees them; the file's content is wiped
//! here.

mod error;

use std::io::Write as _;
use std::path::Path;

use files::{FileError, NewFile};
use identity_key::{Hash, IdentityPublicKey, KeyKind};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::{Signer, Verifier};
use zeroize::Zeroizing;

pub use error::SoftwareKeyError;

/// The largest key file in bytes. An RSA-3072 key has 2.5 KiB.
const LARGEST: u64 = 16 * 1024;
/// Only root may read the key.
const MODE: u32 = 0o600;

/// A private key in memory, and its public half.
#[derive(Debug)]
pub struct SoftwareKey {
    private: PKey<Private>,
    public: IdentityPublicKey,
}

impl SoftwareKey {
    pub(crate) fn generate(kind: KeyKind) -> Result<Self, SoftwareKeyError> {
        let private = match kind {
            KeyKind::EcdsaP256 => generate_ec(Nid::X9_62_PRIME256V1),
            KeyKind::EcdsaP384 => generate_ec(Nid::SECP384R1),
            KeyKind::Rsa { bits } => Rsa::generate(bits.into()).and_then(PKey::from_rsa),
        }
        .map_err(SoftwareKeyError::failed)?;
        let public = public_key(&private).map_err(SoftwareKeyError::Failed)?;
        Ok(SoftwareKey { private, public })
    }

    /// Reads the key in a file, `None` if the file does not exist.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, SoftwareKeyError> {
        let pem = match files::read_private(path, LARGEST, false) {
            Ok(pem) => pem,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(SoftwareKeyError::unreadable(path, error)),
        };
        let damaged = |problem| SoftwareKeyError::Damaged {
            path: path.to_owned(),
            problem,
        };
        // The callback is for an encrypted key, which would ask for its passphrase.
        let private = PKey::private_key_from_pem_callback(&pem, |_| Ok(0))
            .map_err(|error| damaged(format!("it is not a private key in PEM ({})", reason(&error))))?;
        let public = public_key(&private).map_err(damaged)?;
        Ok(Some(SoftwareKey { private, public }))
    }

    /// Writes the key durably, unless the file exists: a key is never replaced. Returns the key
    /// that the file holds afterwards.
    pub(crate) fn store(self, path: &Path) -> Result<Self, SoftwareKeyError> {
        let pem = self.private.private_key_to_pem_pkcs8();
        let pem = Zeroizing::new(pem.map_err(SoftwareKeyError::failed)?);
        // Holds a lock from here on, so that a concurrent run sees the key or waits.
        let mut new = NewFile::create(path, MODE).map_err(SoftwareKeyError::unwritable)?;
        if let Some(existing) = SoftwareKey::read(path)? {
            return Ok(existing);
        }
        new.write_all(&pem).map_err(|reason| {
            let path = path.to_owned();
            SoftwareKeyError::Unwritable(FileError::Unwritable { path, reason })
        })?;
        new.commit().map_err(SoftwareKeyError::unwritable)?;
        Ok(self)
    }

    pub(crate) fn public_key(&self) -> &IdentityPublicKey {
        &self.public
    }

    /// Signs `message`, and verifies the signature: the private part of a damaged file can differ
    /// from the public one, and a faulty signature of an RSA key can give the key away.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SoftwareKeyError> {
        let digest = match self.public.kind().hash() {
            Hash::Sha256 => MessageDigest::sha256(),
            Hash::Sha384 => MessageDigest::sha384(),
        };
        let sign = || Signer::new(digest, &self.private)?.sign_oneshot_to_vec(message);
        let signature = sign().map_err(SoftwareKeyError::failed)?;
        let verify = || {
            let public = PKey::public_key_from_der(self.public.der())?;
            Verifier::new(digest, &public)?.verify_oneshot(&signature, message)
        };
        match verify().map_err(SoftwareKeyError::failed)? {
            true => Ok(signature),
            false => Err(SoftwareKeyError::Failed(
                "the signature does not verify".to_owned(),
            )),
        }
    }
}

fn generate_ec(curve: Nid) -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(curve)?;
    EcKey::generate(&group).and_then(PKey::from_ec_key)
}

/// The public half, which must be that of a key that a device can make.
fn public_key(private: &PKey<Private>) -> Result<IdentityPublicKey, String> {
    if let Ok(key) = private.ec_key() {
        key.check_key()
            .map_err(|_| "its private and its public part differ".to_owned())?;
    }
    let der = private.public_key_to_der().map_err(|error| reason(&error))?;
    IdentityPublicKey::from_der(&der)
        .and_then(IdentityPublicKey::into_device_key)
        .map_err(|error| format!("the public key {error}"))
}

/// The first reason that OpenSSL gives.
fn reason(error: &ErrorStack) -> String {
    let first = error.errors().first().and_then(|error| error.reason());
    first.unwrap_or("OpenSSL gives no reason").to_owned()
}
