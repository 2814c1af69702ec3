//! The record of the identity, and its form as a file.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity_key::{DigestForm, IdentityPublicKey};
use serde_json::Value;

use super::{KeyBackend, KeyReference, RecordError};
use crate::json;
use crate::pkcs11::{KeyAddress, TokenKeyReference};
use crate::time::utc_now;
use crate::tpm::{KeyName, TEMPLATE_VERSION};

/// The version of the file's form. Version 1 has no backend: its key is in the TPM.
const FORMAT: u32 = 2;

/// Which key the identity of this device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The format of the file, which a copy keeps.
    format: u32,
    /// Where the key is.
    pub key: KeyReference,
    /// The public key.
    pub public_key: IdentityPublicKey,
    /// The form of the key digest that assertion and device use.
    pub digest_form: DigestForm,
    /// When the identity was first recorded, by the device's clock, which may not have been set:
    /// RFC 3339 in UTC.
    pub created: String,
}

impl Record {
    /// The record of a key that was just made or found.
    pub fn new(key: KeyReference, public_key: IdentityPublicKey, digest_form: DigestForm) -> Self {
        Record {
            format: FORMAT,
            key,
            public_key,
            digest_form,
            created: utc_now(),
        }
    }

    /// The digest of the key, in the form on record.
    pub fn digest(&self) -> String {
        self.public_key.digest(self.digest_form)
    }

    /// The content of the file.
    pub(super) fn document(&self) -> String {
        let mut members = vec![("format", Value::from(self.format))];
        if self.format > 1 {
            members.push(("key-backend", self.key.backend().name().into()));
        }
        members.push(("algorithm", self.public_key.kind().to_string().into()));
        match &self.key {
            KeyReference::Tpm(name) => members.extend([
                ("template-version", TEMPLATE_VERSION.into()),
                ("name", name.to_string().into()),
            ]),
            KeyReference::Pkcs11(token) => members.extend([
                ("token-label", token.token_label.as_str().into()),
                ("token-serial", token.token_serial.as_str().into()),
                ("key-label", token.key.label.as_str().into()),
                ("key-id", token.key.id.as_str().into()),
            ]),
            KeyReference::Software => {}
        }
        members.extend([
            ("public-key", STANDARD.encode(self.public_key.der()).into()),
            ("digest", self.digest().into()),
            ("digest-form", self.digest_form.to_string().into()),
            ("created", self.created.as_str().into()),
        ]);
        json::document(&members)
    }

    /// Reads the content of the file `path`.
    ///
    /// # Errors
    /// [`RecordError::Damaged`] and [`RecordError::TooNew`].
    pub(super) fn parse(path: &Path, content: &[u8]) -> Result<Self, RecordError> {
        let damaged = |problem| RecordError::Damaged {
            path: path.to_owned(),
            problem,
        };
        let file = serde_json::from_slice(content).map_err(|error| damaged(error.to_string()))?;
        // First the version: this program may not understand what a later version writes.
        match number(&file, "format") {
            Ok(format) if format > u64::from(FORMAT) => Err(RecordError::TooNew {
                path: path.to_owned(),
            }),
            _ => Record::from_file(&file).map_err(damaged),
        }
    }

    /// Takes the record only if its parts agree.
    fn from_file(file: &Value) -> Result<Self, String> {
        let format = u32::try_from(number(file, "format")?).unwrap_or_default();
        let der = STANDARD
            .decode(string(file, "public-key")?)
            .map_err(|error| format!("public-key is not base64 ({error})"))?;
        let public_key = IdentityPublicKey::from_der(&der)
            .and_then(IdentityPublicKey::into_device_key)
            .map_err(|error| format!("public-key {error}"))?;
        let digest_form = match string(file, "digest-form")? {
            "text" => DigestForm::Text,
            "der" => DigestForm::Der,
            _ => return Err("digest-form is neither text nor der".to_owned()),
        };
        if public_key.kind().to_string() != string(file, "algorithm")? {
            return Err(differs("algorithm"));
        }
        if public_key.digest(digest_form) != string(file, "digest")? {
            return Err(differs("digest"));
        }
        Ok(Record {
            format,
            key: reference(file, format, &public_key)?,
            public_key,
            digest_form,
            created: string(file, "created")?.to_owned(),
        })
    }
}

fn reference(file: &Value, format: u32, public_key: &IdentityPublicKey) -> Result<KeyReference, String> {
    let backend = match format {
        1 => KeyBackend::Tpm,
        _ => string(file, "key-backend")?
            .parse()
            .map_err(|_| "key-backend is unknown".to_owned())?,
    };
    match backend {
        KeyBackend::Tpm => tpm_reference(file, public_key),
        KeyBackend::Software => Ok(KeyReference::Software),
        KeyBackend::Pkcs11 => {
            let text = |name| string(file, name).map(str::to_owned);
            Ok(KeyReference::Pkcs11(TokenKeyReference {
                token_label: text("token-label")?,
                token_serial: text("token-serial")?,
                key: key_address(file)?,
            }))
        }
    }
}

/// The place of a key in a token, in a record and in a pending one.
pub(super) fn key_address(file: &Value) -> Result<KeyAddress, String> {
    let id = string(file, "key-id")?.to_owned();
    if id.is_empty() || hex::decode(&id).is_err() {
        return Err("key-id is not hexadecimal".to_owned());
    }
    let label = string(file, "key-label")?.to_owned();
    Ok(KeyAddress { label, id })
}

/// The Name covers the template and the public key, so a TPM key with this Name is known to be this
/// key without reading its public area.
fn tpm_reference(file: &Value, public_key: &IdentityPublicKey) -> Result<KeyReference, String> {
    let name = KeyName::from_hex(string(file, "name")?).ok_or("name is not hexadecimal")?;
    if number(file, "template-version")? != u64::from(TEMPLATE_VERSION) {
        return Err(differs("template-version"));
    }
    match is_name_of(&name, public_key) {
        true => Ok(KeyReference::Tpm(name)),
        false => Err(differs("name")),
    }
}

#[cfg(feature = "tpm")]
fn is_name_of(name: &KeyName, public_key: &IdentityPublicKey) -> bool {
    crate::tpm::is_name_of(name.as_bytes(), public_key)
}

/// A program without the backend only says that it cannot use the key.
#[cfg(not(feature = "tpm"))]
fn is_name_of(_: &KeyName, _: &IdentityPublicKey) -> bool {
    true
}

fn differs(member: &str) -> String {
    format!("{member} does not match public-key")
}

fn string<'a>(file: &'a Value, name: &str) -> Result<&'a str, String> {
    let value = file.get(name).and_then(Value::as_str);
    value.ok_or_else(|| format!("{name} is missing or not a string"))
}

fn number(file: &Value, name: &str) -> Result<u64, String> {
    let value = file.get(name).and_then(Value::as_u64);
    value.ok_or_else(|| format!("{name} is missing or not a positive integer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that a software TPM made from template version 1, with its Name as tpm2_readpublic
    /// printed it.
    const SAMPLE: &str = include_str!("../../tests/data/record.json");

    fn parse(content: &str) -> Result<Record, RecordError> {
        Record::parse(Path::new("record"), content.as_bytes())
    }

    #[test]
    fn a_record_is_written_as_it_was_read() {
        assert_eq!(parse(SAMPLE).unwrap().document(), SAMPLE);
    }

    #[test]
    fn a_record_whose_parts_do_not_agree_is_damaged() {
        for (from, to) in [
            ("ecdsa-p256", "ecdsa-p384"),
            ("\"name\": \"000b", "\"name\": \"000c"),
            ("\"name\": \"000b", "\"name\": \"0b"),
            ("\"name\": \"000b", "\"name\": \"ü0b"),
            ("\"digest\": \"", "\"digest\": \"A"),
            ("\"text\"", "\"der\""),
            ("\"text\"", "\"pem\""),
            ("\"template-version\": 1", "\"template-version\": 7"),
            ("\"public-key\": \"", "\"public-key\": \"*"),
            ("\"format\": 1", "\"format\": \"1\""),
            ("\"format\": 1,", ""),
            ("\"created\": \"", "\"made\": \""),
            ("{", ""),
        ] {
            assert!(SAMPLE.contains(from), "{from}");
            let error = parse(&SAMPLE.replacen(from, to, 1)).unwrap_err();
            assert!(
                matches!(error, RecordError::Damaged { .. }),
                "{from} {to}: {error}"
            );
        }
        let error = parse("{\"format\": 3}").unwrap_err();
        assert!(matches!(error, RecordError::TooNew { .. }), "{error}");
    }
}
