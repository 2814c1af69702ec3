//! The checks on a batch of exports before anything is signed: what a model service would refuse later, is
//! refused here.

use std::collections::HashMap;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use snap_assertions::types::HardwareIdentity;
use snap_assertions::{DigestForm, Statement, Value};

/// The headers that an export may have.
const HEADERS: [&str; 11] = [
    "type",
    "format",
    "authority-id",
    "revision",
    "issuer-id",
    "manufacturer",
    "hardware-name",
    "hardware-id",
    "hardware-id-key",
    "hardware-id-key-sha3-384",
    "timestamp",
];

/// Where an export stands: the number of its input, and its line there, both counted from 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) input: u32,
    pub(crate) line: u32,
}

/// What is wrong with an export; `other` is the place of one that it clashes with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) text: String,
    pub(crate) other: Option<Place>,
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Problem { text, other: None }
    }
}

/// What every export of a batch is given, and what is known of those before.
#[derive(Debug)]
pub(crate) struct Batch {
    revision: Option<u64>,
    /// The header `timestamp` of exports that have none: RFC 3339.
    timestamp: String,
    form: Option<(DigestForm, Place)>,
    /// By fingerprint, which keeps the memory of a large batch small.
    keys: HashMap<Fingerprint, Place>,
    hardware_ids: HashMap<Fingerprint, Place>,
}

type Fingerprint = [u8; 16];

impl Batch {
    pub(crate) fn new(revision: Option<u64>, time: Timestamp) -> Self {
        Batch {
            revision,
            timestamp: time.to_string(),
            form: None,
            keys: HashMap::new(),
            hardware_ids: HashMap::new(),
        }
    }

    /// The form of key digest that the batch has; the text form where it is empty.
    pub(crate) fn form(&self) -> DigestForm {
        self.form.map_or(DigestForm::Text, |(form, _)| form)
    }

    /// Takes an export into the batch: what is to be signed.
    ///
    /// # Errors
    /// All that is wrong with it, each with the header's name.
    pub(crate) fn take(&mut self, json: &str, place: Place) -> Result<Statement, Vec<Problem>> {
        let mut statement = Statement::from_json(json).map_err(|error| vec![error.reason.into()])?;
        check_type(&statement).map_err(|problem| vec![problem])?;
        let mut problems = unknown_names(&statement);
        problems.extend(self.complete(&mut statement).err());
        problems.extend(check_timestamp(&statement).err());
        match HardwareIdentity::check_any_form(&statement.headers) {
            Err(error) => problems.push(error.to_string().into()),
            Ok(identity) => problems.extend(self.clashes(&identity, place)),
        }
        if problems.is_empty() {
            return Ok(statement);
        }
        Err(problems)
    }

    /// What of an export does not go with those before; they are then compared with this one too.
    fn clashes(&mut self, identity: &HardwareIdentity<'_>, place: Place) -> Vec<Problem> {
        let key = fingerprint(identity.key().public_key().der());
        let hardware_id = fingerprint(identity.hardware_id().as_bytes());
        let problems = [
            self.check_form(identity.digest_form(), place).err(),
            check_new(
                &self.hardware_ids,
                hardware_id,
                "hardware-id",
                "the same hardware id",
            )
            .err(),
            check_new(&self.keys, key, "hardware-id-key", "the same key").err(),
        ];
        self.hardware_ids.entry(hardware_id).or_insert(place);
        self.keys.entry(key).or_insert(place);
        problems.into_iter().flatten().collect()
    }

    fn complete(&self, statement: &mut Statement) -> Result<(), Problem> {
        let headers = &mut statement.headers;
        let set = |headers: &mut snap_assertions::Headers, name: &str, value: &str| {
            headers
                .set(name, value)
                .map_err(|error| Problem::from(error.to_string()))
        };
        if let Some(revision) = self.revision {
            set(headers, "revision", &revision.to_string())?;
        }
        if headers.get("timestamp").is_none() {
            set(headers, "timestamp", &self.timestamp)?;
        }
        Ok(())
    }

    fn check_form(&mut self, form: DigestForm, place: Place) -> Result<(), Problem> {
        let (standing, first) = *self.form.get_or_insert((form, place));
        if standing == form {
            return Ok(());
        }
        Err(Problem {
            text: format!(
                "header \"hardware-id-key-sha3-384\": the digest has the {form} form, others in this batch \
                 the {standing} form; sign them apart, or correct the setting digest-form. The first with \
                 the {standing} form"
            ),
            other: Some(first),
        })
    }
}

fn check_new(
    seen: &HashMap<Fingerprint, Place>,
    fingerprint: Fingerprint,
    header: &str,
    what: &str,
) -> Result<(), Problem> {
    match seen.get(&fingerprint) {
        None => Ok(()),
        Some(&other) => Err(Problem {
            text: format!("header {header:?}: {what} stands twice, before"),
            other: Some(other),
        }),
    }
}

fn check_type(statement: &Statement) -> Result<(), Problem> {
    match statement.headers.get_str("type").unwrap_or_default() {
        "hardware-identity" => Ok(()),
        other => Err(format!("header \"type\": must be hardware-identity, not {other:?}").into()),
    }
}

fn unknown_names(statement: &Statement) -> Vec<Problem> {
    let names = statement.headers.iter().map(|(name, _)| name);
    let body = (!statement.body.is_empty()).then_some("body");
    names
        .filter(|name| !HEADERS.contains(name))
        .chain(body)
        .map(|name| format!("header {name:?}: a hardware-identity has none of this name; remove it").into())
        .collect()
}

/// snapd does not look at the timestamp; one that nobody can read would still be of no use.
fn check_timestamp(statement: &Statement) -> Result<(), Problem> {
    let text = statement
        .headers
        .get("timestamp")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match text.parse::<Timestamp>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "header \"timestamp\": {text:?} is not a date and time of RFC 3339, such as 2026-01-31T12:00:00Z"
        )
        .into()),
    }
}

fn fingerprint(bytes: &[u8]) -> Fingerprint {
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&Sha256::digest(bytes)[..16]);
    fingerprint
}
