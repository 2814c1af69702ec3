//! Finds the identity's key in a TPM: compares record, persistent handle and derived key.

use identity_key::{IdentityPublicKey, KeyKind};

use super::{HardwareIdentity, IdentityError, IdentityParameters, KeyCheck, Record, RecordDirectory};
use crate::tpm::{Key, Persisted, Tpm, TpmError};

/// The lookup of the identity's key in one TPM.
pub(super) struct Lookup<'a, 'b> {
    pub(super) tpm: &'a mut Tpm<'b>,
    pub(super) parameters: &'a IdentityParameters,
    pub(super) records: Option<&'a RecordDirectory>,
}

impl Lookup<'_, '_> {
    pub(super) fn open(
        &mut self,
        record: Option<Record>,
        check: KeyCheck,
    ) -> Result<HardwareIdentity, IdentityError> {
        let handle = self.parameters.handle;
        match (record, self.tpm.persistent(handle)?) {
            (Some(record), Some(key)) => self.compare(record, key),
            (Some(record), None) => {
                let key = self.derive_recorded(&record)?;
                Ok(identity(record, true, key, false))
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

    pub(super) fn ensure(&mut self, record: Option<Record>) -> Result<HardwareIdentity, IdentityError> {
        match (record, self.tpm.persistent(self.parameters.handle)?) {
            (Some(record), Some(key)) => self.compare(record, key),
            (Some(record), None) => {
                let key = self.derive_recorded(&record)?;
                let persistent = self.persist(&key)?;
                Ok(identity(record, true, key, persistent))
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
    fn compare(&mut self, record: Record, key: Key) -> Result<HardwareIdentity, IdentityError> {
        if *key.name() != record.name {
            self.derive_recorded(&record)?;
            return Err(self.handle_in_use());
        }
        Ok(identity(record, true, key, true))
    }

    /// Derives the recorded key again.
    fn derive_recorded(&mut self, record: &Record) -> Result<Key, IdentityError> {
        let (key, _) = self.tpm.derive(record.public_key.kind())?;
        if *key.name() == record.name {
            return Ok(key);
        }
        Err(IdentityError::OtherTpm {
            recorded: record.name.clone(),
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

    /// Makes the key persistent. Returns true if it is at the handle afterwards; a concurrent run may
    /// have put it there.
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

    fn unrecorded(&self, key: Key, public_key: IdentityPublicKey, persistent: bool) -> HardwareIdentity {
        let record = Record::new(key.name().clone(), public_key, self.parameters.digest_form);
        identity(record, false, key, persistent)
    }
}

fn identity(record: Record, recorded: bool, key: Key, persistent: bool) -> HardwareIdentity {
    HardwareIdentity {
        record,
        recorded,
        persistent,
        key,
    }
}
