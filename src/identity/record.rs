//! The record of the identity, and its form as a file.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity_key::{DigestForm, IdentityPublicKey};
use serde_json::Value;

use super::RecordError;
use crate::json;
use crate::time::utc_now;
use crate::tpm::{KeyName, TEMPLATE_VERSION, is_name_of};

/// The version of the file's form.
const FORMAT: u32 = 1;

/// Which key the identity of this device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The TPM's Name of the key, which covers all of its public area.
    pub name: KeyName,
    /// The public key.
    pub public_key: IdentityPublicKey,
    /// The form of the key digest that assertion and device use.
    pub digest_form: DigestForm,
    /// When the identity was first recorded, by the device's clock, which may not have been set: RFC
    /// 3339 in UTC.
    pub created: String,
}

impl Record {
    /// The record of a key that was just made or found.
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

    /// The content of the file.
    pub(super) fn document(&self) -> String {
        json::document(&[
            ("format", FORMAT.into()),
            ("algorithm", self.public_key.kind().to_string().into()),
            ("template-version", TEMPLATE_VERSION.into()),
            ("name", self.name.to_string().into()),
            ("public-key", STANDARD.encode(self.public_key.der()).into()),
            ("digest", self.digest().into()),
            ("digest-form", self.digest_form.to_string().into()),
            ("created", self.created.as_str().into()),
        ])
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

    /// Takes the record only if its parts agree. The Name covers the template and the public key, so
    /// a TPM key with this Name is known to be this key without reading its public area.
    fn from_file(file: &Value) -> Result<Self, String> {
        number(file, "format")?;
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
        let name = KeyName::from_hex(string(file, "name")?).ok_or("name is not hexadecimal")?;
        let differs = if public_key.kind().to_string() != string(file, "algorithm")? {
            "algorithm"
        } else if number(file, "template-version")? != u64::from(TEMPLATE_VERSION) {
            "template-version"
        } else if !is_name_of(name.as_bytes(), &public_key) {
            "name"
        } else if public_key.digest(digest_form) != string(file, "digest")? {
            "digest"
        } else {
            return Ok(Record {
                name,
                public_key,
                digest_form,
                created: string(file, "created")?.to_owned(),
            });
        };
        Err(format!("{differs} does not match public-key"))
    }
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

    /// A key that a software TPM made from template version 1, with its Name as tpm2_readpublic printed
    /// it.
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
            assert!(matches!(error, RecordError::Damaged { .. }), "{from} {to}: {error}");
        }
        let error = parse("{\"format\": 2}").unwrap_err();
        assert!(matches!(error, RecordError::TooNew { .. }), "{error}");
    }
}
