//! The key in the TPM: compares record, persistent handle and derived key.
//!
//! The endorsement seed and the template determine the key. The persistent handle only saves the
//! time to derive it again, and the record says which key it must be. All three have to agree.

use identity_key::{IdentityPublicKey, KeyKind};
use zeroize::Zeroizing;

use super::{
    HardwareIdentity, IdentityError, IdentityParameters, KeyCheck, KeyReference, OpenKey, Record,
    RecordDirectory, WithTpm,
};
use crate::retry::RetryBudget;
use crate::tpm::{EndorsementKey, Key, KeyName, Persisted, Tpm, TpmError, with_tpm};

pub(super) fn ensure(
    parameters: &IdentityParameters,
    budget: &mut RetryBudget,
    records: &RecordDirectory,
    record: Option<&Record>,
    mut work: Option<&mut WithTpm<'_>>,
) -> Result<HardwareIdentity, IdentityError> {
    let recorded = record.map(RecordedKey::of).transpose()?;
    with_tpm(&parameters.tcti, budget, |tpm| {
        let mut lookup = Lookup {
            tpm,
            parameters,
            records: Some(records),
        };
        let (identity, _) = lookup.ensure(recorded.clone())?;
        if let Some(work) = &mut work {
            work(tpm)?;
        }
        Ok(identity)
    })
}

/// Calls `work` again if the connection to the TPM breaks.
pub(super) fn open<T>(
    parameters: &IdentityParameters,
    budget: &mut RetryBudget,
    records: Option<&RecordDirectory>,
    record: Option<&Record>,
    check: KeyCheck,
    mut work: impl FnMut(&mut dyn OpenKey<'_>, &HardwareIdentity) -> Result<T, IdentityError>,
) -> Result<T, IdentityError> {
    let recorded = record.map(RecordedKey::of).transpose()?;
    with_tpm(&parameters.tcti, budget, |tpm| {
        let mut lookup = Lookup {
            tpm,
            parameters,
            records,
        };
        let (identity, key) = lookup.open(recorded.clone(), check)?;
        work(&mut TpmKey { tpm, key: &key }, &identity)
    })
}

/// The identity key in an open TPM.
#[derive(Debug)]
pub struct TpmKey<'a, 't> {
    /// The TPM.
    pub tpm: &'a mut Tpm<'t>,
    key: &'a Key,
}

impl TpmKey<'_, '_> {
    /// Decrypts the secret in a credential that was made for this key and the endorsement key, see
    /// [`Tpm::activate_credential`].
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn activate_credential(
        &mut self,
        endorsement_key: &EndorsementKey,
        blob: &[u8],
        encrypted_secret: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        self.tpm
            .activate_credential(self.key, endorsement_key, blob, encrypted_secret)
    }
}

impl<'t> OpenKey<'t> for TpmKey<'_, 't> {
    fn sign(&mut self, kind: KeyKind, message: &[u8]) -> Result<Vec<u8>, IdentityError> {
        Ok(self.tpm.sign(self.key, &kind.hash().digest(message))?)
    }

    fn tpm(&mut self) -> Result<TpmKey<'_, 't>, IdentityError> {
        Ok(TpmKey {
            tpm: self.tpm,
            key: self.key,
        })
    }
}

/// A record with the Name in it.
#[derive(Clone)]
struct RecordedKey {
    record: Record,
    name: KeyName,
}

impl RecordedKey {
    fn of(record: &Record) -> Result<Self, IdentityError> {
        match &record.key {
            KeyReference::Tpm(name) => Ok(RecordedKey {
                record: record.clone(),
                name: name.clone(),
            }),
            other => Err(IdentityError::BackendChanged {
                recorded: other.backend(),
                setting: super::KeyBackend::Tpm,
            }),
        }
    }
}

/// The lookup of the identity's key in one TPM.
struct Lookup<'a, 't> {
    tpm: &'a mut Tpm<'t>,
    parameters: &'a IdentityParameters,
    records: Option<&'a RecordDirectory>,
}

type Found = (HardwareIdentity, Key);

impl Lookup<'_, '_> {
    fn open(&mut self, recorded: Option<RecordedKey>, check: KeyCheck) -> Result<Found, IdentityError> {
        let handle = self.parameters.handle;
        match (recorded, self.tpm.persistent(handle)?) {
            (Some(recorded), Some(key)) => self.compare(recorded, key),
            (Some(recorded), None) => {
                let key = self.derive_recorded(&recorded)?;
                Ok((identity(recorded.record, true, false), key))
            }
            (None, Some(key)) => {
                let public_key = self.public_key_at_handle(&key)?;
                if check == KeyCheck::Derivation {
                    self.check_derivation(&key, public_key.kind())?;
                }
                Ok(self.unrecorded(key, public_key, true))
            }
            (None, None) => Err(IdentityError::Missing(handle)),
        }
    }

    fn ensure(&mut self, recorded: Option<RecordedKey>) -> Result<Found, IdentityError> {
        match (recorded, self.tpm.persistent(self.parameters.handle)?) {
            (Some(recorded), Some(key)) => self.compare(recorded, key),
            (Some(recorded), None) => {
                let key = self.derive_recorded(&recorded)?;
                let persistent = self.persist(&key)?;
                Ok((identity(recorded.record, true, persistent), key))
            }
            (None, Some(key)) => {
                let public_key = self.public_key_at_handle(&key)?;
                self.check_derivation(&key, public_key.kind())?;
                Ok(self.unrecorded(key, public_key, true))
            }
            (None, None) => {
                let (key, public_key) = self.tpm.derive(self.parameters.kind)?;
                let persistent = self.persist(&key)?;
                Ok(self.unrecorded(key, public_key, persistent))
            }
        }
    }

    /// Compares the key at the handle with the record. If they differ, the key that the TPM derives
    /// tells whether another program uses the handle or this is another TPM.
    fn compare(&mut self, recorded: RecordedKey, key: Key) -> Result<Found, IdentityError> {
        if *key.name() != recorded.name {
            self.derive_recorded(&recorded)?;
            return Err(self.handle_in_use());
        }
        Ok((identity(recorded.record, true, true), key))
    }

    /// Derives the recorded key again.
    fn derive_recorded(&mut self, recorded: &RecordedKey) -> Result<Key, IdentityError> {
        let (key, _) = self.tpm.derive(recorded.record.public_key.kind())?;
        if *key.name() == recorded.name {
            return Ok(key);
        }
        Err(IdentityError::OtherTpm {
            recorded: recorded.name.clone(),
            found: key.name().clone(),
            file: self
                .records
                .map(|records| records.file().display().to_string())
                .unwrap_or_default(),
        })
    }

    fn public_key_at_handle(&mut self, key: &Key) -> Result<IdentityPublicKey, IdentityError> {
        let public_key = self.tpm.identity_public(key)?;
        public_key.ok_or_else(|| self.handle_in_use())
    }

    /// Checks a key at the handle before it is recorded: only the key that this TPM derives is the
    /// identity. If an endorsement authorisation was set since, no key can be derived, and the
    /// template must be enough.
    fn check_derivation(&mut self, key: &Key, kind: KeyKind) -> Result<(), IdentityError> {
        match self.tpm.derive(kind) {
            Ok((derived, _)) if derived.name() == key.name() => Ok(()),
            Ok(_) => Err(self.handle_in_use()),
            Err(TpmError::AuthorisationSet(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the key persistent. Returns true if it is at the handle afterwards; a concurrent run
    /// may have put it there.
    fn persist(&mut self, key: &Key) -> Result<bool, IdentityError> {
        let handle = self.parameters.handle;
        match self.tpm.persist(key, handle)? {
            Persisted::Yes => Ok(true),
            Persisted::NoSpace => Ok(false),
            Persisted::HandleInUse => match self.tpm.persistent(handle)? {
                Some(existing) if existing.name() == key.name() => Ok(true),
                _ => Err(self.handle_in_use()),
            },
        }
    }

    fn handle_in_use(&self) -> IdentityError {
        TpmError::handle_in_use(self.parameters.handle).into()
    }

    fn unrecorded(&self, key: Key, public_key: IdentityPublicKey, persistent: bool) -> Found {
        let reference = KeyReference::Tpm(key.name().clone());
        let record = Record::new(reference, public_key, self.parameters.digest_form);
        (identity(record, false, persistent), key)
    }
}

fn identity(record: Record, recorded: bool, persistent: bool) -> HardwareIdentity {
    HardwareIdentity {
        record,
        recorded,
        persistent,
    }
}
