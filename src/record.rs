//! The record of the identity: which key this device's identity is, so that it never changes unnoticed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::patience::Patience;
use crate::time::utc_now;
use crate::tpm::{KeyName, TEMPLATE_VERSION, is_name_of};
use identity_key::KeyKind;
use identity_key::{DigestForm, IdentityPublicKey};

const FILE: &str = "hardware-identity.json";
const NEW_FILE: &str = ".hardware-identity.json.new";
const LOCK_FILE: &str = ".hardware-identity.lock";
/// The version of the file's own form.
const FORMAT: u32 = 1;
/// Far above what a record needs (an RSA-3072 record has 1.2 KiB).
const LARGEST: u64 = 64 * 1024;
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Which key the identity of this device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The TPM's Name of the key, which covers all of its public area.
    pub name: KeyName,
    /// The public key.
    pub public_key: IdentityPublicKey,
    /// The form of digest that assertion and device use.
    pub digest_form: DigestForm,
    /// When the identity was first recorded: RFC 3339, UTC. The device's clock may not have been set by then.
    pub created: String,
}

/// The record as it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Stored {
    format: u32,
    algorithm: KeyKind,
    template_version: u32,
    name: KeyName,
    /// SubjectPublicKeyInfo DER in standard base64.
    public_key: String,
    digest: String,
    digest_form: DigestForm,
    created: String,
}

/// Why the record cannot be used.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The content is not that of a record.
    #[error(
        "the record of the hardware identity, {}, is damaged: {problem}. Restore it from a backup, or delete \
         it: prepare-device writes it anew from the key in the TPM", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// A later version of this software wrote it.
    #[error(
        "the record of the hardware identity, {}, was written by a later version of this software. Install \
         that version of the gadget again", path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
    },
    /// The file exists and cannot be read.
    #[error(
        "the record of the hardware identity, {}, cannot be read: {reason}. Check the folder's permissions \
         and the disk",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// The record cannot be written; an older one is still whole.
    #[error(
        "the record of the hardware identity cannot be written to {}: {reason}. Make room on the disk, and \
         check that it is not mounted read-only", folder.display()
    )]
    Unwritable {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
}

impl Record {
    /// A record of a key that was just made or found.
    pub fn new(name: KeyName, public_key: IdentityPublicKey, digest_form: DigestForm) -> Self {
        Record {
            name,
            public_key,
            digest_form,
            created: utc_now(),
        }
    }

    /// The digest of the key, in the form on record.
    pub fn digest(&self) -> String {
        self.public_key.digest(self.digest_form)
    }

    fn stored(&self) -> Stored {
        Stored {
            format: FORMAT,
            algorithm: self.public_key.kind(),
            template_version: TEMPLATE_VERSION,
            name: self.name.clone(),
            public_key: STANDARD.encode(self.public_key.der()),
            digest: self.digest(),
            digest_form: self.digest_form,
            created: self.created.clone(),
        }
    }
}

impl TryFrom<Stored> for Record {
    type Error = String;

    /// Takes the record only where its parts agree: the Name covers the template and the public key, so that
    /// a TPM key with this Name is known to be this key without reading it.
    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        let der = STANDARD
            .decode(&stored.public_key)
            .map_err(|error| format!("public-key is not base64 ({error})"))?;
        let public_key = IdentityPublicKey::from_der(&der)
            .and_then(IdentityPublicKey::into_device_key)
            .map_err(|error| error.to_string())?;
        if public_key.kind() != stored.algorithm {
            return Err("algorithm and public-key do not belong together".to_owned());
        }
        if stored.template_version != TEMPLATE_VERSION {
            return Err(format!(
                "there is no template version {}",
                stored.template_version
            ));
        }
        if !is_name_of(stored.name.as_bytes(), &public_key) {
            return Err("name and public-key do not belong together".to_owned());
        }
        if public_key.digest(stored.digest_form) != stored.digest {
            return Err("digest and public-key do not belong together".to_owned());
        }
        Ok(Record {
            name: stored.name,
            public_key,
            digest_form: stored.digest_form,
            created: stored.created,
        })
    }
}

/// The folder that holds the record.
#[derive(Clone, Debug)]
pub struct RecordFolder {
    folder: PathBuf,
    older: Option<PathBuf>,
}

impl RecordFolder {
    /// `folder` exists: snapd makes `$SNAP_SAVE_DATA` and `$SNAP_COMMON`. `older` is where the record may be from a time
    /// when there was no `folder`.
    pub fn new(folder: &Path, older: Option<&Path>) -> Self {
        RecordFolder {
            folder: folder.to_owned(),
            older: older.map(Path::to_owned),
        }
    }

    /// The record's path.
    pub fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Reads the record, `None` where there is none.
    ///
    /// # Errors
    /// [`RecordError::Damaged`], [`RecordError::TooNew`], [`RecordError::Unreadable`].
    pub fn load(&self) -> Result<Option<Record>, RecordError> {
        match (read(self.file())?, &self.older) {
            (None, Some(older)) => read(older.join(FILE)),
            (record, _) => Ok(record),
        }
    }

    /// Writes the record whole or not at all, unless one is in the folder itself; returns the one that stands then.
    ///
    /// # Errors
    /// [`RecordError::Unwritable`], and those of [`Self::load`].
    pub fn store(&self, record: Record) -> Result<Record, RecordError> {
        let unwritable = |reason| RecordError::Unwritable {
            folder: self.folder.clone(),
            reason,
        };
        let lock = self.lock().map_err(unwritable)?;
        if let Some(standing) = read(self.file())? {
            return Ok(standing);
        }
        self.replace(&record).map_err(unwritable)?;
        drop(lock);
        Ok(record)
    }

    /// Held while writing, so that two runs never write the same new file; the system frees it when a run is
    /// killed.
    fn lock(&self) -> io::Result<File> {
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.folder.join(LOCK_FILE))?;
        // Held only while a file is written: whoever holds it for long hangs.
        let mut patience = Patience::new(LOCK_WAIT);
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if patience.pause() => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::other("another program holds the lock file"));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    fn replace(&self, record: &Record) -> io::Result<()> {
        let new = self.folder.join(NEW_FILE);
        let written = write_synced(&new, &record.stored()).and_then(|()| {
            fs::rename(&new, self.file())?;
            File::open(&self.folder)?.sync_all()
        });
        if written.is_err() {
            // What is left of it is no record, and the disk may be full.
            let _ = fs::remove_file(&new);
        }
        written
    }
}

fn read(path: PathBuf) -> Result<Option<Record>, RecordError> {
    match read_limited(&path) {
        Ok(content) => parse(path, &content).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(reason) => Err(RecordError::Unreadable { path, reason }),
    }
}

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut content)?;
    Ok(content)
}

fn parse(path: PathBuf, content: &[u8]) -> Result<Record, RecordError> {
    #[derive(Deserialize)]
    struct Versioned {
        format: u32,
    }
    let checked = || {
        if content.len() as u64 > LARGEST {
            return Err(format!("it is larger than {LARGEST} bytes"));
        }
        let stored: Stored = serde_json::from_slice(content).map_err(|error| error.to_string())?;
        Record::try_from(stored)
    };
    // The version first: what a later version writes need not make sense here.
    match serde_json::from_slice::<Versioned>(content) {
        Ok(versioned) if versioned.format > FORMAT => Err(RecordError::TooNew { path }),
        _ => checked().map_err(|problem| RecordError::Damaged { path, problem }),
    }
}

fn write_synced(path: &Path, stored: &Stored) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut text = serde_json::to_string_pretty(stored)?;
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key made by a software TPM from template version 1, with its Name as tpm2_readpublic printed it.
    const SAMPLE: &str = include_str!("../tests/data/record.json");

    fn folder_with(content: &str) -> (tempfile::TempDir, RecordFolder) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), content).unwrap();
        let record = RecordFolder::new(folder.path(), None);
        (folder, record)
    }

    fn damage(from: &str, to: &str) -> String {
        assert!(SAMPLE.contains(from), "{from}");
        let (_folder, record) = folder_with(&SAMPLE.replacen(from, to, 1));
        record.load().unwrap_err().to_string()
    }

    #[test]
    fn a_record_comes_back_as_it_was_stored() {
        let (_folder, sample) = folder_with(SAMPLE);
        let record = sample.load().unwrap().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let records = RecordFolder::new(folder.path(), None);
        assert_eq!(records.load().unwrap(), None);
        assert_eq!(records.store(record.clone()).unwrap(), record);
        assert_eq!(records.load().unwrap(), Some(record));
        assert_eq!(fs::read_to_string(records.file()).unwrap(), SAMPLE);
        assert!(!folder.path().join(NEW_FILE).exists());
    }

    #[test]
    fn a_standing_record_is_never_replaced() {
        let (_folder, records) = folder_with(SAMPLE);
        let standing = records.load().unwrap().unwrap();
        let later = Record {
            created: String::new(),
            ..standing.clone()
        };
        assert_eq!(records.store(later).unwrap(), standing);
        assert_eq!(records.load().unwrap(), Some(standing));
    }

    #[test]
    fn a_record_of_the_older_folder_moves_on() {
        let (older, sample) = folder_with(SAMPLE);
        let folder = tempfile::tempdir().unwrap();
        let records = RecordFolder::new(folder.path(), Some(older.path()));
        let record = records.load().unwrap().unwrap();
        assert_eq!(Some(&record), sample.load().unwrap().as_ref());
        records.store(record).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(FILE)).unwrap(), SAMPLE);
    }

    #[test]
    fn parts_that_do_not_agree_are_damage() {
        assert!(damage("ecdsa-p256", "ecdsa-p384").contains("algorithm and public-key"));
        assert!(damage("\"name\": \"000b", "\"name\": \"000c").contains("name and public-key"));
        assert!(damage("\"digest\": \"", "\"digest\": \"A").contains("digest and public-key"));
        assert!(
            damage("\"template-version\": 1", "\"template-version\": 7").contains("no template version 7")
        );
        assert!(damage("\"public-key\": \"", "\"public-key\": \"*").contains("not base64"));
        assert!(damage("{", "").contains("is damaged"));
        assert!(damage("\"format\": 1", "\"format\": 2").contains("later version"));
        assert!(damage("{", &" ".repeat(70_000)).contains("larger than"));
    }
}
