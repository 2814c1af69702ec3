//! The hardware identity: made once and never changed; opened, and used to sign.
//!
//! The TPM's endorsement seed and the template determine the key. The persistent handle only saves
//! the time to derive it again, and the record says which key it must be. All three have to agree.

mod error;
mod lookup;
mod record;
mod record_directory;
mod warning;

use identity_key::{DigestForm, IdentityPublicKey, KeyKind};
use zeroize::Zeroizing;

pub use error::{IdentityError, RecordError};
pub use record::Record;
pub use record_directory::RecordDirectory;
pub use warning::IdentityWarning;

use crate::retry::RetryBudget;
use crate::tpm::{EndorsementKey, Key, PersistentHandle, Tcti, Tpm, TpmError, with_tpm};
use lookup::Lookup;

/// The values that making and opening an identity need.
#[derive(Clone, Debug)]
pub struct IdentityParameters {
    /// The kind of a new key.
    pub kind: KeyKind,
    /// The form of the digest of a new key.
    pub digest_form: DigestForm,
    /// The handle at which the key is persistent.
    pub handle: PersistentHandle,
    /// The TCTI: how to reach the TPM.
    pub tcti: Tcti,
}

/// The identity of this device, compared with the TPM.
#[derive(Clone, Debug)]
pub struct HardwareIdentity {
    /// The record of the key. Made from the TPM and the settings if [`Self::recorded`] is false.
    pub record: Record,
    /// True if the record is in the file.
    pub recorded: bool,
    /// True if the key is persistent at the handle.
    pub persistent: bool,
    key: Key,
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
    /// [`TpmError`].
    pub fn sign(&self, tpm: &mut Tpm<'_>, message: &[u8]) -> Result<Vec<u8>, TpmError> {
        let digest = self.public_key().kind().hash().digest(message);
        tpm.sign(&self.key, &digest)
    }

    /// Decrypts the secret in a credential that was made for this key and the endorsement key, see
    /// [`Tpm::activate_credential`].
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn activate_credential(
        &self,
        tpm: &mut Tpm<'_>,
        endorsement_key: &EndorsementKey,
        blob: &[u8],
        encrypted_secret: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        tpm.activate_credential(&self.key, endorsement_key, blob, encrypted_secret)
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

/// Makes the identity, or finds the one that exists: opens the persistent key, or derives the key
/// and makes it persistent; writes the record if there is none. Any number of runs, concurrent or
/// killed, give the same identity.
///
/// # Errors
/// [`IdentityError::OtherTpm`] before anything is written, [`IdentityError::Tpm`] and
/// [`IdentityError::Record`].
pub fn ensure(
    parameters: &IdentityParameters,
    budget: &mut RetryBudget,
    records: &RecordDirectory,
) -> Result<HardwareIdentity, IdentityError> {
    let (identity, ()) = ensure_with(parameters, budget, records, |_| Ok(()))?;
    Ok(identity)
}

/// Makes or finds the identity as [`ensure`], and calls `work` with the TPM before the record is
/// written. `work` is called again if the connection to the TPM breaks.
///
/// # Errors
/// Those of [`ensure`] and of `work`.
pub fn ensure_with<T>(
    parameters: &IdentityParameters,
    budget: &mut RetryBudget,
    records: &RecordDirectory,
    mut work: impl FnMut(&mut Tpm<'_>) -> Result<T, IdentityError>,
) -> Result<(HardwareIdentity, T), IdentityError> {
    let record = records.load()?;
    let (mut identity, result) = with_tpm(&parameters.tcti, budget, |tpm| {
        let mut lookup = Lookup {
            tpm,
            parameters,
            records: Some(records),
        };
        let identity = lookup.ensure(record.clone())?;
        Ok::<_, IdentityError>((identity, work(tpm)?))
    })?;
    if !records.file().exists() {
        identity.record = records.store(identity.record)?;
        identity.recorded = true;
    }
    Ok((identity, result))
}

/// How to check, if there is no record, that the key at the handle is the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyCheck {
    /// By its template. One TPM command; enough for a hook that snapd runs after prepare-device,
    /// which derives the key.
    Template,
    /// By deriving the key again. Another key can have the same template, so what is exported needs
    /// this check.
    Derivation,
}

/// Opens the identity and calls `work` with the TPM and the identity. Makes no key persistent.
/// `work` is called again if the connection to the TPM breaks.
///
/// # Errors
/// [`IdentityError::Missing`] if prepare-device has not run, [`IdentityError::OtherTpm`],
/// [`IdentityError::Tpm`] and [`IdentityError::Record`].
pub fn open<T>(
    parameters: &IdentityParameters,
    budget: &mut RetryBudget,
    records: Option<&RecordDirectory>,
    check: KeyCheck,
    mut work: impl FnMut(&mut Tpm<'_>, &HardwareIdentity) -> Result<T, IdentityError>,
) -> Result<T, IdentityError> {
    let record = records.map(RecordDirectory::load).transpose()?.flatten();
    with_tpm(&parameters.tcti, budget, |tpm| {
        let identity = Lookup {
            tpm,
            parameters,
            records,
        }
        .open(record.clone(), check)?;
        work(tpm, &identity)
    })
}
