//! The key in a file beside the record: compares record and key file.

use identity_key::KeyKind;

use super::{
    HardwareIdentity, IdentityError, IdentityParameters, KeyReference, OpenKey, Record, RecordDirectory,
};
use crate::software::{SoftwareKey, SoftwareKeyError};

impl OpenKey<'_> for SoftwareKey {
    fn sign(&mut self, _: KeyKind, message: &[u8]) -> Result<Vec<u8>, IdentityError> {
        Ok(SoftwareKey::sign(self, message)?)
    }
}

/// The key is stored before the record: a run that is killed in between leaves a key without a
/// record, which the next run finds.
pub(super) fn ensure(
    parameters: &IdentityParameters,
    records: &RecordDirectory,
    record: Option<&Record>,
) -> Result<HardwareIdentity, IdentityError> {
    let path = records.new_key_file();
    let key = match SoftwareKey::read(&path)? {
        Some(key) => key,
        None => {
            // A key of the earlier directory is then in both.
            let key = match (stored_key(records)?, record) {
                (Some(key), _) => key,
                (None, Some(_)) => return Err(missing(records)),
                (None, None) => SoftwareKey::generate(parameters.kind)?,
            };
            key.store(&path)?
        }
    };
    compare(&key, parameters, records, record)
}

pub(super) fn open(
    parameters: &IdentityParameters,
    records: Option<&RecordDirectory>,
    record: Option<&Record>,
) -> Result<(SoftwareKey, HardwareIdentity), IdentityError> {
    let Some(records) = records else {
        return Err(IdentityError::NoRecord);
    };
    let Some(key) = stored_key(records)? else {
        return Err(record.map_or(IdentityError::NoRecord, |_| missing(records)));
    };
    let identity = compare(&key, parameters, records, record)?;
    Ok((key, identity))
}

fn stored_key(records: &RecordDirectory) -> Result<Option<SoftwareKey>, SoftwareKeyError> {
    match records.key_file() {
        Some(path) => SoftwareKey::read(&path),
        None => Ok(None),
    }
}

fn missing(records: &RecordDirectory) -> IdentityError {
    IdentityError::Software(SoftwareKeyError::Missing {
        path: records.new_key_file(),
        record: records.file(),
    })
}

fn compare(
    key: &SoftwareKey,
    parameters: &IdentityParameters,
    records: &RecordDirectory,
    record: Option<&Record>,
) -> Result<HardwareIdentity, IdentityError> {
    let found = key.public_key();
    match record {
        Some(record) if record.public_key != *found => {
            Err(IdentityError::Software(SoftwareKeyError::Replaced {
                path: records.key_file().unwrap_or_else(|| records.new_key_file()),
                record: records.file(),
            }))
        }
        _ => Ok(HardwareIdentity {
            record: record.cloned().unwrap_or_else(|| {
                Record::new(KeyReference::Software, found.clone(), parameters.digest_form)
            }),
            recorded: record.is_some(),
            persistent: true,
        }),
    }
}
