//! Import errors: why an import ended early, and why an assertion was refused.

use std::io;

use failure::Diagnostic;
use identity_key::DigestForm;
use snap_assertions::{DecodeError, HeaderError};
use thiserror::Error;

use crate::account_keys::SignatureError;
use crate::store::StoreError;

/// Why an import ended early. It has stored nothing.
#[derive(Debug, Error, Diagnostic)]
pub enum ImportError {
    /// The database failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// The temporary file of the report cannot be written or read.
    #[error("cannot use the temporary file of the import report: {0}")]
    #[diagnostic(
        code("import-report-failed"),
        help("Make room on the disk of the database, and import again")
    )]
    Report(#[from] io::Error),
    /// A thread of the import ended early, so not everything was verified.
    #[error("a thread of the import ended before everything was verified")]
    #[diagnostic(
        code("import-interrupted"),
        help("Import again; the log of the model service has the reason")
    )]
    Interrupted,
    /// The service ends.
    #[error("the model service ends, and the import with it")]
    #[diagnostic(
        code("import-stopped"),
        help("Import again when the model service runs again")
    )]
    Stopped,
}

/// Why an import refused an assertion, or warns of it.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum RefusalReason {
    /// Nothing after this place was read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    NotAssertions(DecodeError),
    #[error("the assertion is of type {found}")]
    #[diagnostic(
        code("import-other-type"),
        help("Import only assertions of type hardware-identity")
    )]
    OtherType { found: String },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Header(HeaderError),
    #[error("the hardware-id {hardware_id:?} is not printable ASCII, or has a space at an end")]
    #[diagnostic(
        code("hardware-id-not-readable"),
        help("Export the device again with another hardware-id, and sign it again")
    )]
    HardwareId { hardware_id: String },
    #[error("the key digest has the {form} form, which the model service does not accept")]
    #[diagnostic(
        code("digest-form-not-accepted"),
        help("Sign an export with the other form, or add this one to `digest-forms` in the settings")
    )]
    DigestForm { form: DigestForm },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Signature(#[from] SignatureError),
    #[error("another assertion for this key with the same revision {revision} is stored")]
    #[diagnostic(code("revision-conflict"), help("Sign the export with a higher revision"))]
    SameRevision { revision: u64 },
    /// Also a warning, if the settings accept it.
    #[error("the older identity with the key digest {digest} has the same hardware-id and another key")]
    #[diagnostic(
        code("hardware-id-duplicate"),
        help(
            "Find out which key the device has, and block the other identity with `model-service identity block`"
        )
    )]
    DuplicateHardwareId { digest: String },
    /// A warning, if proofs are not required.
    #[error("the ledger of the station has no proof for this hardware-id")]
    #[diagnostic(
        code("proof-not-recorded"),
        help(
            "Prove the device at the issuer's station, and sign it with `hardware-identity sign --require-proof`"
        )
    )]
    NoProof,
    /// A warning, if proofs are not required.
    #[error("the ledger of the station has a proof for this hardware-id, but of another key")]
    #[diagnostic(
        code("proof-of-other-key"),
        help("Find out which key the device has, and import the assertion that was signed with the proof")
    )]
    ProofOfOtherKey,
}
