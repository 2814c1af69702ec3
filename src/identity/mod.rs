//! The hardware identity: made once and never changed; opened, and used to sign.
//!
//! [`KeyBackend`] says where the key is kept. Everything above this module works the same for all
//! backends: a backend makes its key or finds the one that exists, opens it, signs with it, and
//! says what the record needs to find it again.
//!
//! | module | contents |
//! |---|---|
//! | `backend` | the backends, and their references to keys |
//! | `open_key` | an open key |
//! | `tpm`, `pkcs11`, `software` | how each backend makes and finds its key |
//! | `record`, `record_directory` | the record, and where it is |

mod backend;
mod error;
mod open_key;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod record;
mod record_directory;
#[cfg(feature = "software")]
mod software;
#[cfg(feature = "tpm")]
mod tpm;
mod warning;

use identity_key::{DigestForm, IdentityPublicKey, KeyKind};

pub use backend::{BackendNotBuilt, KeyBackend, KeyReference, UnknownBackend};
pub use error::{IdentityError, RecordError};
pub use open_key::OpenKey;
pub use record::Record;
pub use record_directory::RecordDirectory;
#[cfg(feature = "tpm")]
pub use tpm::TpmKey;
pub use warning::IdentityWarning;

use crate::pkcs11::Pkcs11Settings;
use crate::retry::RetryBudget;
use crate::tpm::{PersistentHandle, Tcti, Tpm};

/// The values that making and opening an identity need.
#[derive(Clone, Debug)]
pub struct IdentityParameters {
    /// The keeper of the key.
    pub backend: KeyBackend,
    /// The kind of a new key.
    pub kind: KeyKind,
    /// The form of the digest of a new key.
    pub digest_form: DigestForm,
    /// The handle at which a key in the TPM is persistent.
    pub handle: PersistentHandle,
    /// The TCTI: how to reach the TPM.
    pub tcti: Tcti,
    /// Module, token and PIN.
    pub pkcs11: Pkcs11Settings,
}

/// The identity of this device, compared with its key.
#[derive(Clone, Debug)]
pub struct HardwareIdentity {
    /// The record of the key. Made from key and settings if [`Self::recorded`] is false.
    pub record: Record,
    /// True if the record is in the file.
    pub recorded: bool,
    /// True if the key is stored. A key in the TPM can also be derived each time, if the TPM has no
    /// space for it.
    pub persistent: bool,
}

impl HardwareIdentity {
    /// The value of the header `hardware-id-key-sha3-384`: base64url without padding, in the form
    /// on record.
    pub fn digest(&self) -> String {
        self.record.digest()
    }

    /// The public half of the key.
    pub fn public_key(&self) -> &IdentityPublicKey {
        &self.record.public_key
    }

    /// Signs the digest of `message` by the hash of the key's kind. The signature is ASN.1 DER for
    /// ECDSA (RFC 3279 section 2.2.3), and PKCS#1 v1.5 for RSA (RFC 8017 section 8.2).
    ///
    /// # Errors
    /// [`IdentityError`] of the backend.
    pub fn sign(&self, key: &mut dyn OpenKey<'_>, message: &[u8]) -> Result<Vec<u8>, IdentityError> {
        key.sign(self.public_key().kind(), message)
    }

    /// A warning for each parameter that differs from the identity and is ignored.
    pub fn ignored_settings(&self, parameters: &IdentityParameters) -> Vec<IdentityWarning> {
        let identity = self.public_key().kind();
        let algorithm = (identity != parameters.kind).then_some(IdentityWarning::AlgorithmIgnored {
            identity,
            setting: parameters.kind,
        });
        let recorded = self.record.digest_form;
        let form = (recorded != parameters.digest_form).then_some(IdentityWarning::DigestFormIgnored {
            recorded,
            setting: parameters.digest_form,
        });
        algorithm.into_iter().chain(form).collect()
    }

    /// All warnings about an identity that was made or found.
    pub fn warnings(&self, parameters: &IdentityParameters) -> Vec<IdentityWarning> {
        let mut warnings = self.ignored_settings(parameters);
        warnings.extend((!self.persistent).then_some(IdentityWarning::NotPersistent));
        warnings
    }
}

/// Makes the identity, or finds the one that exists; writes the record if there is none. Any number
/// of runs, concurrent or killed, give the same identity.
///
/// # Errors
/// [`IdentityError::BackendChanged`], [`IdentityError::OtherTpm`] and the like before anything is
/// written; the errors of the backend, and [`IdentityError::Record`].
pub fn ensure(
    parameters: &IdentityParameters,
    budget: &mut RetryBudget,
    records: &RecordDirectory,
) -> Result<HardwareIdentity, IdentityError> {
    ensure_with(parameters, budget, records, None)
}

/// What [`ensure_with`] does with the TPM of the key.
pub type WithTpm<'w> = dyn FnMut(&mut Tpm<'_>) -> Result<(), IdentityError> + 'w;

/// Makes or finds the identity as [`ensure`], and calls `in_tpm` with its TPM before the record is
/// written, again if the connection to the TPM breaks.
///
/// # Errors
/// Those of [`ensure`] and of `in_tpm`; [`IdentityError::NotInTpm`] with another backend, before
/// anything is made.
pub fn ensure_with(
    parameters: &IdentityParameters,
    budget: &mut RetryBudget,
    records: &RecordDirectory,
    in_tpm: Option<&mut WithTpm<'_>>,
) -> Result<HardwareIdentity, IdentityError> {
    if in_tpm.is_some() && parameters.backend != KeyBackend::Tpm {
        return Err(IdentityError::NotInTpm);
    }
    let record = records.load()?;
    check_backend(parameters.backend, record.as_ref(), Some(records))?;
    let record = record.as_ref();
    let mut identity = match parameters.backend {
        #[cfg(feature = "tpm")]
        KeyBackend::Tpm => tpm::ensure(parameters, budget, records, record, in_tpm)?,
        #[cfg(feature = "pkcs11")]
        KeyBackend::Pkcs11 => pkcs11::ensure(parameters, records, record)?,
        #[cfg(feature = "software")]
        KeyBackend::Software => software::ensure(parameters, records, record)?,
        #[allow(unreachable_patterns)]
        backend => return Err(BackendNotBuilt(backend).into()),
    };
    if !records.file().exists() {
        identity.record = records.store(identity.record)?;
        identity.recorded = true;
    }
    Ok(identity)
}

/// How to check, if there is no record, that the key at the handle of the TPM is the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyCheck {
    /// By its template. One TPM command; enough for a hook that snapd runs after prepare-device,
    /// which derives the key.
    Template,
    /// By deriving the key again. Another key can have the same template, so what is exported needs
    /// this check.
    Derivation,
}

/// Opens the identity and calls `work` with the key and the identity. Makes no key, and makes none
/// persistent. `work` is called again if the connection to the TPM breaks.
///
/// # Errors
/// [`IdentityError::Missing`] if prepare-device has not run, and those of [`ensure`].
pub fn open<T>(
    parameters: &IdentityParameters,
    budget: &mut RetryBudget,
    records: Option<&RecordDirectory>,
    check: KeyCheck,
    mut work: impl FnMut(&mut dyn OpenKey<'_>, &HardwareIdentity) -> Result<T, IdentityError>,
) -> Result<T, IdentityError> {
    let record = records.map(RecordDirectory::load).transpose()?.flatten();
    check_backend(parameters.backend, record.as_ref(), records)?;
    let record = record.as_ref();
    match parameters.backend {
        #[cfg(feature = "tpm")]
        KeyBackend::Tpm => tpm::open(parameters, budget, records, record, check, work),
        #[cfg(feature = "pkcs11")]
        KeyBackend::Pkcs11 => {
            let records = records.ok_or(IdentityError::NoRecord)?;
            let (mut key, identity) = pkcs11::open(parameters, records, record)?;
            work(&mut key, &identity)
        }
        #[cfg(feature = "software")]
        KeyBackend::Software => {
            let (mut key, identity) = software::open(parameters, records, record)?;
            work(&mut key, &identity)
        }
        #[allow(unreachable_patterns)]
        backend => Err(BackendNotBuilt(backend).into()),
    }
}

/// A device keeps its identity, and with it the backend, for life.
fn check_backend(
    setting: KeyBackend,
    record: Option<&Record>,
    records: Option<&RecordDirectory>,
) -> Result<(), IdentityError> {
    let recorded = record.map(|record| record.key.backend());
    // A key file without a record was left by a run that was killed, or the record was deleted.
    let stored = || {
        records
            .and_then(RecordDirectory::key_file)
            .map(|_| KeyBackend::Software)
    };
    match recorded.or_else(stored) {
        Some(recorded) if recorded != setting => Err(IdentityError::BackendChanged { recorded, setting }),
        _ => setting.check_built(),
    }
}
