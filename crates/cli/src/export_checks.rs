//! The checks on a batch of exports before anything is signed. A model service would refuse the same
//! exports later.

use hardware_identity::export::KEY_BACKEND;
use hardware_identity::identity::{KeyBackend, UnknownBackend};
use identity_key::IdentityPublicKey;
use jiff::Timestamp;
use ledger_chain::Fingerprint;
use miette::Diagnostic;
use snap_assertions::types::HardwareIdentity;
use snap_assertions::{DigestForm, HeaderError, InvalidHeaderName, Statement};
use thiserror::Error;

use crate::export_reader::{Location, UnreadableReason};
use crate::fingerprint::UniqueFingerprints;
use crate::signing_rules::{self, UnsafeIdentity};

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

/// Why an export cannot be signed.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ExportProblem {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Unreadable(UnreadableReason),
    #[error("{0}")]
    #[diagnostic(
        code("export-malformed"),
        help("Export the device again with `hardware-identity export`")
    )]
    Malformed(String),
    #[error("header \"type\" is {0:?}, not \"hardware-identity\"")]
    #[diagnostic(code("export-wrong-type"), help("Sign other assertions with `snap sign`"))]
    WrongType(String),
    #[error("header {0:?} does not belong to a hardware-identity")]
    #[diagnostic(code("export-unknown-header"), help("Remove the header"))]
    UnknownHeader(String),
    #[error("header \"timestamp\": {0:?} is not a date and time of RFC 3339")]
    #[diagnostic(
        code("export-bad-timestamp"),
        help("Write it as in 2026-01-31T12:00:00Z, or remove it to use the time of signing")
    )]
    Timestamp(String),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Name(#[from] InvalidHeaderName),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Header(#[from] HeaderError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Unsafe(#[from] UnsafeIdentity),
    #[error("{KEY_BACKEND}: {0}")]
    #[diagnostic(forward(0))]
    KeyBackend(#[from] UnknownBackend),
    #[error("the device keeps its key in the backend {found}, not {required}")]
    #[diagnostic(
        code("key-backend-refused"),
        help("Take the device off the line, or sign it without --require-backend")
    )]
    OtherBackend { found: KeyBackend, required: KeyBackend },
    #[error("duplicate hardware-id (first at {first})")]
    #[diagnostic(
        code("duplicate-hardware-id"),
        help("Keep the export of the device that has this hardware id")
    )]
    DuplicateHardwareId { first: String },
    #[error("duplicate hardware-id-key (first at {first})")]
    #[diagnostic(
        code("duplicate-hardware-key"),
        help("Remove one of the exports: each device has its own key")
    )]
    DuplicateKey { first: String },
    #[error(
        "header \"hardware-id-key-sha3-384\" has the {found} form, but the batch has the {batch} form (first at \
         {first})"
    )]
    #[diagnostic(
        code("mixed-digest-forms"),
        help("Sign the two forms separately, or correct the setting digest-form and export again")
    )]
    MixedForms {
        found: DigestForm,
        batch: DigestForm,
        first: String,
    },
}

/// What the command line says about all exports: the values that they get if they do not have them,
/// and a demand.
#[derive(Debug)]
pub(crate) struct Defaults {
    /// Replaces the header `revision`.
    pub(crate) revision: Option<u64>,
    /// The header `timestamp` of exports without one.
    pub(crate) time: Timestamp,
    /// The only backend that an export may name.
    pub(crate) required_backend: Option<KeyBackend>,
}

/// An export after the checks that need no other export.
#[derive(Debug)]
pub(crate) struct CheckedExport {
    pub(crate) problems: Vec<ExportProblem>,
    /// The statement to sign, as JSON on one line.
    pub(crate) statement: String,
    /// The hardware id and the identity key.
    pub(crate) identity: Option<(String, IdentityPublicKey)>,
    unique: Option<UniqueValues>,
}

/// The values that no other export of a batch may have, and the digest form, which all share.
#[derive(Clone, Copy, Debug)]
struct UniqueValues {
    hardware_id: Fingerprint,
    key: Fingerprint,
    form: DigestForm,
}

impl CheckedExport {
    /// Checks the JSON of an export.
    pub(crate) fn new(json: &str, defaults: &Defaults) -> Self {
        let mut checked = CheckedExport {
            problems: Vec::new(),
            statement: String::new(),
            identity: None,
            unique: None,
        };
        if let Err(problem) = checked.check(json, defaults) {
            checked.problems.push(problem);
        }
        checked
    }

    /// An export that cannot be read.
    pub(crate) fn unreadable(reason: UnreadableReason) -> Self {
        CheckedExport {
            problems: vec![ExportProblem::Unreadable(reason)],
            statement: String::new(),
            identity: None,
            unique: None,
        }
    }

    /// The form of its key digest, if the export could be read so far.
    pub(crate) fn digest_form(&self) -> Option<DigestForm> {
        self.unique.map(|unique| unique.form)
    }

    fn check(&mut self, json: &str, defaults: &Defaults) -> Result<(), ExportProblem> {
        // Line and column of the error count from the start of the export.
        let mut statement =
            Statement::from_json(json).map_err(|error| ExportProblem::Malformed(error.reason))?;
        check_type(&statement)?;
        let backend = take_backend(&mut statement).map_err(ExportProblem::KeyBackend)?;
        self.problems.extend(check_backend(backend, defaults).err());
        self.problems.extend(unknown_headers(&statement));
        self.problems.extend(complete(&mut statement, defaults).err());
        self.problems.extend(check_timestamp(&statement).err());
        let deceptive = signing_rules::check_text(&statement.headers);
        self.problems
            .extend(deceptive.into_iter().map(ExportProblem::Unsafe));
        let identity = HardwareIdentity::check_any_form(&statement.headers)?;
        let weak = signing_rules::check_key(identity.key().public_key());
        self.problems.extend(weak.err().map(ExportProblem::Unsafe));
        self.unique = Some(UniqueValues {
            hardware_id: Fingerprint::of(identity.hardware_id().as_bytes()),
            key: Fingerprint::of(identity.key().public_key().der()),
            form: identity.digest_form(),
        });
        let key = identity.key().public_key().clone();
        self.identity = Some((identity.hardware_id().to_owned(), key));
        self.statement =
            serde_json::to_string(&statement).map_err(|error| ExportProblem::Malformed(error.to_string()))?;
        Ok(())
    }
}

/// Takes the member that is not a header of the assertion. Exports of a TPM's key do not have it.
pub(crate) fn take_backend(statement: &mut Statement) -> Result<KeyBackend, UnknownBackend> {
    match statement.headers.remove(KEY_BACKEND) {
        None => Ok(KeyBackend::Tpm),
        Some(value) => value.as_str().unwrap_or_default().parse(),
    }
}

fn check_backend(found: KeyBackend, defaults: &Defaults) -> Result<(), ExportProblem> {
    match defaults.required_backend {
        Some(required) if required != found => Err(ExportProblem::OtherBackend { found, required }),
        _ => Ok(()),
    }
}

fn complete(statement: &mut Statement, defaults: &Defaults) -> Result<(), ExportProblem> {
    let headers = &mut statement.headers;
    if let Some(revision) = defaults.revision {
        headers.set("revision", revision.to_string())?;
    }
    if headers.get("timestamp").is_none() {
        headers.set("timestamp", defaults.time.to_string())?;
    }
    Ok(())
}

fn check_type(statement: &Statement) -> Result<(), ExportProblem> {
    match statement.headers.get_str("type").unwrap_or_default() {
        "hardware-identity" => Ok(()),
        other => Err(ExportProblem::WrongType(other.to_owned())),
    }
}

fn unknown_headers(statement: &Statement) -> Vec<ExportProblem> {
    let names = statement.headers.iter().map(|(name, _)| name);
    let body = (!statement.body.is_empty()).then_some("body");
    names
        .filter(|name| !HEADERS.contains(name))
        .chain(body)
        .map(|name| ExportProblem::UnknownHeader(name.to_owned()))
        .collect()
}

/// snapd does not read the timestamp, but people do.
fn check_timestamp(statement: &Statement) -> Result<(), ExportProblem> {
    let text = statement.headers.get_str("timestamp").unwrap_or_default();
    match text.parse::<Timestamp>() {
        Ok(_) => Ok(()),
        Err(_) => Err(ExportProblem::Timestamp(text.to_owned())),
    }
}

/// The checks that compare the exports of a batch.
#[derive(Debug, Default)]
pub(crate) struct BatchChecks {
    form: Option<(DigestForm, Location)>,
    hardware_ids: UniqueFingerprints,
    keys: UniqueFingerprints,
}

impl BatchChecks {
    /// The form of the key digests in the batch; the text form if the batch is empty.
    pub(crate) fn form(&self) -> DigestForm {
        self.form.map_or(DigestForm::Text, |(form, _)| form)
    }

    /// Adds the problems of the next export with those before it; `show` names a location.
    pub(crate) fn compare(
        &mut self,
        export: &mut CheckedExport,
        location: Location,
        show: impl Fn(Location) -> String,
    ) {
        let Some(unique) = export.unique else {
            return;
        };
        let (batch, first) = *self.form.get_or_insert((unique.form, location));
        if batch != unique.form {
            export.problems.push(ExportProblem::MixedForms {
                found: unique.form,
                batch,
                first: show(first),
            });
        }
        if let Some(first) = self.hardware_ids.add(unique.hardware_id, location) {
            let first = show(first);
            export.problems.push(ExportProblem::DuplicateHardwareId { first });
        }
        if let Some(first) = self.keys.add(unique.key, location) {
            let first = show(first);
            export.problems.push(ExportProblem::DuplicateKey { first });
        }
    }
}
