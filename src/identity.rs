//! The hardware identity: made once, for good; opened and used to sign.
//!
//! The TPM's endorsement seed and the template make the key; the persistent handle only saves the time of
//! deriving it again, and the record says which key it has to be. None of the three is trusted alone.

use std::fmt;

use thiserror::Error;

use crate::config::Settings;
use crate::patience::Patience;
use crate::record::{Record, RecordError, RecordFolder};
use crate::tpm::{self, Key, KeyName, Persisted, PersistentHandle, Tpm, with_tpm};
use identity_key::KeyKind;
use identity_key::{DigestForm, IdentityPublicKey};

/// Why there is no identity to work with.
#[derive(Debug, Error)]
pub enum Error {
    /// The TPM.
    #[error(transparent)]
    Tpm(#[from] tpm::Error),
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The TPM makes another key than the one on record.
    #[error(
        "this is not the TPM that made the hardware identity: the key on record has the Name {recorded}, \
         this TPM makes {found}. The TPM was replaced or its seed was reset, or the data of another device \
         was copied to this one; the issuer has to import a new hardware identity for this device. To start \
         over with this TPM, delete {file} and run prepare-device"
    )]
    AnotherTpm {
        /// Name of the key on record.
        recorded: KeyName,
        /// Name of the key that this TPM makes.
        found: KeyName,
        /// The record.
        file: String,
    },
    /// Neither a key nor a record.
    #[error(
        "this device has no hardware identity yet: the persistent handle {0} is empty and there is no \
         record. Run prepare-device (snapd does at the start of every registration); outside the snap, name \
         its data folder with SNAP_SAVE_DATA or SNAP_COMMON"
    )]
    None(PersistentHandle),
}

/// Something that a person should know, though the work went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The setting `algorithm` differs from the identity's.
    AlgorithmKept {
        /// The identity's.
        identity: KeyKind,
        /// The setting's.
        setting: KeyKind,
    },
    /// The setting `digest-form` differs from the recorded one.
    DigestFormKept {
        /// On record.
        recorded: DigestForm,
        /// The setting's.
        setting: DigestForm,
    },
    /// The key could not be made persistent.
    NotPersistent,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::AlgorithmKept { identity, setting } => write!(
                f,
                "the hardware identity stays {identity}, though the setting `algorithm` now says {setting}: \
                 an identity never changes. Set `algorithm` back to {identity}"
            ),
            Notice::DigestFormKept { recorded, setting } => write!(
                f,
                "the key digest stays in the form {recorded}, though the setting `digest-form` now says \
                 {setting}: the issuer has the recorded one. Set `digest-form` back to {recorded}"
            ),
            Notice::NotPersistent => write!(
                f,
                "the TPM has no room for another persistent object: the hardware identity works, but its key \
                 is derived anew each time, which is slow. Free a persistent handle that nothing needs \
                 (`tpm2_getcap handles-persistent`)"
            ),
        }
    }
}

/// The identity of this device, as it is known after a look at the TPM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What is known of the key; the record, where there is one.
    pub record: Record,
    /// Whether [`Self::record`] is in the file.
    pub recorded: bool,
    /// Whether the key stands at the persistent handle.
    pub persistent: bool,
    key: Key,
}

impl Identity {
    /// The value for `hardware-id-key-sha3-384`: base64url without padding, in the form on record.
    pub fn digest(&self) -> String {
        self.record.digest()
    }

    /// The public half of the key.
    pub fn public_key(&self) -> &IdentityPublicKey {
        &self.record.public_key
    }

    /// Signs the message: ASN.1 DER for ECDSA, the plain PKCS#1 v1.5 signature for RSA, over the algorithm's
    /// hash.
    ///
    /// # Errors
    /// [`Error::Tpm`].
    pub fn sign(&self, tpm: &mut Tpm<'_>, message: &[u8]) -> Result<Vec<u8>, Error> {
        let digest = self.public_key().kind().hash().digest(message);
        Ok(tpm.sign(&self.key, &digest)?)
    }

    /// Where the settings ask for something else than the identity is.
    pub fn deviations(&self, settings: &Settings) -> Vec<Notice> {
        let identity = self.public_key().kind();
        let algorithm = (identity != settings.algorithm).then_some(Notice::AlgorithmKept {
            identity,
            setting: settings.algorithm,
        });
        let recorded = self.record.digest_form;
        let form = (recorded != settings.digest_form).then_some(Notice::DigestFormKept {
            recorded,
            setting: settings.digest_form,
        });
        algorithm.into_iter().chain(form).collect()
    }

    /// What a person should know after the identity was made or found.
    pub fn notices(&self, settings: &Settings) -> Vec<Notice> {
        let mut notices = self.deviations(settings);
        notices.extend((!self.persistent).then_some(Notice::NotPersistent));
        notices
    }
}

/// Makes the identity, once and for good: opens the persistent key, or derives it and makes it persistent;
/// writes the record where there is none. Any number of runs, at the same time or cut short, end with the
/// same identity.
///
/// # Errors
/// [`Error::AnotherTpm`] before anything is written; otherwise [`Error::Tpm`] and [`Error::Record`].
pub fn ensure(
    settings: &Settings,
    patience: &mut Patience,
    records: &RecordFolder,
) -> Result<Identity, Error> {
    let record = records.load()?;
    let mut identity = with_tpm(&settings.tcti, patience, |tpm| {
        let found = Search {
            tpm,
            settings,
            records: Some(records),
        }
        .ensure(record.clone())?;
        Ok::<_, Error>(found)
    })?;
    if !records.file().exists() {
        identity.record = records.store(identity.record)?;
        identity.recorded = true;
    }
    Ok(identity)
}

/// How a key at the handle is recognised as the identity where there is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognition {
    /// By its template: one command, for a hook that runs after prepare-device has compared the keys.
    ByTemplate,
    /// By deriving it once more, for what leaves the device: another key can have the same template.
    ByDerivation,
}

/// Opens the identity and hands it to `work`, with the TPM to sign. Never makes anything persistent.
///
/// # Errors
/// [`Error::None`] where prepare-device has not run; [`Error::AnotherTpm`], [`Error::Tpm`],
/// [`Error::Record`].
pub fn open<T>(
    settings: &Settings,
    patience: &mut Patience,
    records: Option<&RecordFolder>,
    recognition: Recognition,
    mut work: impl FnMut(&mut Tpm<'_>, &Identity) -> Result<T, Error>,
) -> Result<T, Error> {
    let record = records.map(RecordFolder::load).transpose()?.flatten();
    with_tpm(&settings.tcti, patience, |tpm| {
        let identity = Search {
            tpm,
            settings,
            records,
        }
        .open(record.clone(), recognition)?;
        work(tpm, &identity)
    })
}

/// The search for the identity in one TPM.
struct Search<'a, 'b> {
    tpm: &'a mut Tpm<'b>,
    settings: &'a Settings,
    records: Option<&'a RecordFolder>,
}

impl Search<'_, '_> {
    fn open(&mut self, record: Option<Record>, recognition: Recognition) -> Result<Identity, Error> {
        let handle = self.settings.handle;
        match (record, self.tpm.persistent(handle)?) {
            (Some(record), Some(key)) => self.compared(record, key),
            (Some(record), None) => {
                let key = self.derived(&record)?;
                Ok(identity(record, true, key, false))
            }
            (None, Some(key)) => {
                let public_key = self.public_of_slot(&key)?;
                if recognition == Recognition::ByDerivation {
                    self.check_slot(&key, public_key.kind())?;
                }
                Ok(self.unrecorded(key, public_key, true))
            }
            (None, None) => Err(Error::None(handle)),
        }
    }

    fn ensure(&mut self, record: Option<Record>) -> Result<Identity, Error> {
        let handle = self.settings.handle;
        match (record, self.tpm.persistent(handle)?) {
            (Some(record), Some(key)) => self.compared(record, key),
            (Some(record), None) => {
                let key = self.derived(&record)?;
                let persistent = self.persist(&key)?;
                Ok(identity(record, true, key, persistent))
            }
            (None, Some(key)) => {
                let public_key = self.public_of_slot(&key)?;
                self.check_slot(&key, public_key.kind())?;
                Ok(self.unrecorded(key, public_key, true))
            }
            (None, None) => {
                let (key, public_key) = self.tpm.derive(self.settings.algorithm)?;
                let persistent = self.persist(&key)?;
                Ok(self.unrecorded(key, public_key, persistent))
            }
        }
    }

    /// The key at the handle, where it is the one on record. Otherwise a look at what the TPM derives tells
    /// whether the handle was taken by someone or the TPM is another one.
    fn compared(&mut self, record: Record, key: Key) -> Result<Identity, Error> {
        if *key.name() != record.name {
            self.derived(&record)?;
            return Err(tpm::Error::slot_taken(self.settings.handle).into());
        }
        Ok(identity(record, true, key, true))
    }

    /// The key on record, derived again.
    fn derived(&mut self, record: &Record) -> Result<Key, Error> {
        let (key, _) = self.tpm.derive(record.public_key.kind())?;
        if *key.name() == record.name {
            return Ok(key);
        }
        Err(Error::AnotherTpm {
            recorded: record.name.clone(),
            found: key.name().clone(),
            file: self
                .records
                .map(|records| records.file().display().to_string())
                .unwrap_or_default(),
        })
    }

    fn public_of_slot(&mut self, key: &Key) -> Result<IdentityPublicKey, Error> {
        let public_key = self.tpm.identity_public(key)?;
        public_key.ok_or_else(|| tpm::Error::slot_taken(self.settings.handle).into())
    }

    /// Before a key at the handle goes on record: only the key that this TPM derives is the identity. Where
    /// someone has set the endorsement authorisation since, nothing can be derived, and the key's form has to
    /// do.
    fn check_slot(&mut self, key: &Key, algorithm: KeyKind) -> Result<(), Error> {
        match self.tpm.derive(algorithm) {
            Ok((derived, _)) if derived.name() == key.name() => Ok(()),
            Ok(_) => Err(tpm::Error::slot_taken(self.settings.handle).into()),
            Err(tpm::Error::AuthorisationSet(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the key stands at the handle afterwards; another run may have put it there a moment ago.
    fn persist(&mut self, key: &Key) -> Result<bool, Error> {
        let handle = self.settings.handle;
        match self.tpm.persist(key, handle)? {
            Persisted::Yes => Ok(true),
            Persisted::NoRoom => Ok(false),
            Persisted::Occupied => match self.tpm.persistent(handle)? {
                Some(standing) if standing.name() == key.name() => Ok(true),
                _ => Err(tpm::Error::slot_taken(handle).into()),
            },
        }
    }

    fn unrecorded(&self, key: Key, public_key: IdentityPublicKey, persistent: bool) -> Identity {
        let record = Record::new(key.name().clone(), public_key, self.settings.digest_form);
        identity(record, false, key, persistent)
    }
}

fn identity(record: Record, recorded: bool, key: Key, persistent: bool) -> Identity {
    Identity {
        record,
        recorded,
        persistent,
        key,
    }
}
