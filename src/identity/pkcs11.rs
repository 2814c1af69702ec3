//! The key in a token: compares record and token.
//!
//! A new key gets a random id, which is on the disk (in the pending record) before the token makes
//! the key. A run that is killed in between leaves a key that the next run knows by its id; any other
//! key with the same label is someone else's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity_key::{IdentityKeyError, IdentityPublicKey, KeyKind};
use rustix::rand::{GetRandomFlags, getrandom};

use super::{
    HardwareIdentity, IdentityError, IdentityParameters, KeyBackend, KeyReference, OpenKey, Record,
    RecordDirectory,
};
use crate::pkcs11::{FoundKey, KeyAddress, Pkcs11Error, TokenKeyReference, TokenProcess};

impl OpenKey<'_> for TokenProcess {
    fn sign(&mut self, kind: KeyKind, message: &[u8]) -> Result<Vec<u8>, IdentityError> {
        Ok(TokenProcess::sign(self, &kind.hash().digest(message))?)
    }
}

pub(super) fn ensure(
    parameters: &IdentityParameters,
    records: &RecordDirectory,
    record: Option<&Record>,
) -> Result<HardwareIdentity, IdentityError> {
    // Concurrent runs wait for each other, also to look at a key that exists: logins of several
    // processes at a time make SoftHSM fail. For that the disk may be full or read-only.
    let new = records.begin(parameters.pkcs11.timeout);
    if let Some(record) = records.load()?.as_ref().or(record) {
        let (_, identity) = open(parameters, records, Some(record))?;
        records.remove_pending();
        return Ok(identity);
    }
    let new = new?;
    let mut process = TokenProcess::start(&parameters.pkcs11)?;
    let key = match records.pending()? {
        Some(key) => key,
        None => {
            process.check_label(&parameters.pkcs11.key_label)?;
            let key = KeyAddress {
                label: parameters.pkcs11.key_label.clone(),
                id: hex::encode(random_id()?),
            };
            records.store_pending(&key)?;
            key
        }
    };
    let made = process.make(&key, parameters.kind);
    let found = made.inspect_err(|error| {
        if !error.leaves_key() {
            records.remove_pending();
        }
    })?;
    let reference = TokenKeyReference {
        token_label: found.token_label.clone(),
        token_serial: found.token_serial.clone(),
        key,
    };
    let public_key = public_key(&found)?;
    let record = Record::new(
        KeyReference::Pkcs11(reference),
        public_key,
        parameters.digest_form,
    );
    new.commit(&record)?;
    records.remove_pending();
    Ok(identity(record))
}

pub(super) fn open(
    parameters: &IdentityParameters,
    records: &RecordDirectory,
    record: Option<&Record>,
) -> Result<(TokenProcess, HardwareIdentity), IdentityError> {
    let record = record.ok_or(IdentityError::NoRecord)?;
    let KeyReference::Pkcs11(reference) = &record.key else {
        return Err(IdentityError::BackendChanged {
            recorded: record.key.backend(),
            setting: KeyBackend::Pkcs11,
        });
    };
    let mut process = TokenProcess::start(&parameters.pkcs11)?;
    let (id, serial) = (reference.key.id.clone(), reference.token_serial.clone());
    match process.find(&reference.key)? {
        Ok(found) if public_key(&found)? == record.public_key => Ok((process, identity(record.clone()))),
        Ok(found) => Err(Pkcs11Error::Replaced {
            token: found.token_label,
            id,
            serial,
            record: records.file(),
        }
        .into()),
        Err(token) => Err(Pkcs11Error::Missing {
            token,
            id,
            serial,
            record: records.file(),
        }
        .into()),
    }
}

fn public_key(found: &FoundKey) -> Result<IdentityPublicKey, Pkcs11Error> {
    let der = STANDARD
        .decode(&found.public_key)
        .map_err(|_| IdentityKeyError::NotBase64);
    der.and_then(|der| IdentityPublicKey::from_der(&der))
        .and_then(IdentityPublicKey::into_device_key)
        .map_err(|reason| Pkcs11Error::PublicKey {
            label: found.token_label.clone(),
            reason,
        })
}

fn identity(record: Record) -> HardwareIdentity {
    HardwareIdentity {
        record,
        recorded: true,
        persistent: true,
    }
}

/// 16 bytes, so that no other key has the same id.
fn random_id() -> Result<[u8; 16], Pkcs11Error> {
    let mut id = [0; 16];
    match getrandom(&mut id, GetRandomFlags::empty()) {
        Ok(16) => Ok(id),
        _ => Err(Pkcs11Error::NoRandom),
    }
}
