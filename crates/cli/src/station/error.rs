//! Errors of a station in line: cause and advice.

use std::io;
use std::path::PathBuf;

use files::FileError;
use identity_key::DigestForm;
use miette::Diagnostic;
use residency::EvidenceError;
use snap_assertions::SignError;
use thiserror::Error;

use crate::error::ToolError;
use crate::exchange::{LotOutcome, RemoteProblem};
use crate::export_checks::ExportProblem;
use crate::proof::ProofProblem;

/// Why the files of a lot cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum LotError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    #[error("cannot read or write {}: {reason}", path.display())]
    #[diagnostic(code("lot-file-failed"), help("Check that its disk works and has room"))]
    Failed { path: PathBuf, reason: io::Error },
    #[error("another station is using {}", .0.display())]
    #[diagnostic(
        code("lot-busy"),
        help("Stop the other station, or start this one with another batch; `fuser {}` shows it", .0.display())
    )]
    Busy(PathBuf),
    #[error("another station is using the output {}", .0.display())]
    #[diagnostic(
        code("output-busy"),
        help("Name another file with --output; `fuser {}` shows the station", .0.display())
    )]
    OutputBusy(PathBuf),
    #[error("the devices of the batch {} are {found}, and this station would have {wanted} ones", batch.display())]
    #[diagnostic(
        code("lot-destination-differs"),
        help("Start the station as before, with --collect or with a signing key, or with another batch")
    )]
    Destination {
        batch: PathBuf,
        found: LotOutcome,
        wanted: LotOutcome,
    },
    #[error("line {line} of {} is damaged: {reason}", path.display())]
    #[diagnostic(
        code("lot-damaged"),
        help("Find out who changed the file, and put it back from a copy")
    )]
    Damaged {
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        reason: String,
    },
    #[error("cannot read the list of expected devices {}: {reason}", path.display())]
    #[diagnostic(
        code("expected-list-malformed"),
        help("Write one hardware id on each line, or CSV with the hardware id in the first column")
    )]
    Expected { path: PathBuf, reason: String },
}

/// Why a device is refused.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum DeviceRefusal {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Export(#[from] ExportProblem),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Proof(ProofProblem),
    /// It cannot be signed with any key.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Statement(SignError),
    #[error("the hardware id {0:?} is not among the expected ones")]
    #[diagnostic(
        code("hardware-id-not-expected"),
        help(
            "Correct the hardware id of the device, or add it to the list and start the station with --expect again"
        )
    )]
    NotExpected(String),
    #[error("header {name:?} is {found:?}, but the line has {expected:?}")]
    #[diagnostic(
        code("lot-header-differs"),
        help("Correct the setting {name} of the device, or start the station with the right --{name}")
    )]
    OtherHeader {
        name: &'static str,
        found: String,
        expected: String,
    },
    #[error("header \"revision\" is {0:?}, but the assertions of a line have the revision 0")]
    #[diagnostic(
        code("lot-revision-set"),
        help("Remove the header; `sign --revision` makes a later assertion of a device")
    )]
    Revision(String),
    #[error("the device is done already, with other headers ({first})")]
    #[diagnostic(
        code("lot-headers-changed"),
        help(
            "If the new headers are right, prove the device in another batch with --collect, and sign it with \
             `sign --revision`"
        )
    )]
    HeadersChanged { first: String },
    #[error("another device of the lot has this hardware id ({first})")]
    #[diagnostic(
        code("lot-duplicate-hardware-id"),
        help(
            "Put both devices aside, and find out which of them has this hardware id; `hardware-identity station lot` \
             shows what is done"
        )
    )]
    DuplicateHardwareId { first: String },
    #[error("another device of the lot has this identity key ({first})")]
    #[diagnostic(
        code("lot-duplicate-hardware-key"),
        help("Put both devices aside, and find out why they have one key: each device makes its own")
    )]
    DuplicateKey { first: String },
    #[error("another device of the lot has this TPM ({first})")]
    #[diagnostic(
        code("lot-duplicate-tpm"),
        help(
            "Put both devices aside, and find out which of them has this TPM; prove a device whose hardware id or key \
             was changed in another batch"
        )
    )]
    DuplicateTpm { first: String },
    #[error(
        "header \"hardware-id-key-sha3-384\" has the {found} form, but the lot has the {lot} form (first at {first})"
    )]
    #[diagnostic(
        code("lot-mixed-digest-forms"),
        help("Correct the setting digest-form of the device, or prove the device in another batch")
    )]
    MixedForms {
        found: DigestForm,
        lot: DigestForm,
        first: String,
    },
    #[error("line {line} of the ledger has a proof of this device")]
    #[diagnostic(
        code("lot-proof-recorded"),
        help(
            "Use the assertion that was signed then; for another one, prove the device with --collect, and sign it \
             with `sign --revision {next}`"
        )
    )]
    Recorded {
        line: u64,
        /// The lowest revision that is accepted.
        next: u64,
    },
    #[error("the evidence is for the hardware id {0:?}")]
    #[diagnostic(
        code("lot-evidence-for-other-device"),
        help("Send the evidence that was collected with the export")
    )]
    EvidenceForOther(String),
    #[error("the request is not valid: {0}")]
    #[diagnostic(
        code("station-request-malformed"),
        help("Use programs of the same version on the device and at the station")
    )]
    Malformed(String),
    /// It said so at the other end of a pipe.
    #[error("the device failed: {0}")]
    #[diagnostic(forward(0))]
    Device(RemoteProblem),
}

impl From<ProofProblem> for DeviceRefusal {
    /// Refusals whose advice in a batch does not help in line have variants of their own.
    fn from(problem: ProofProblem) -> Self {
        match problem {
            ProofProblem::Recorded { line, next, .. } => DeviceRefusal::Recorded { line, next },
            ProofProblem::Evidence(EvidenceError::HardwareId { found }) => {
                DeviceRefusal::EvidenceForOther(found)
            }
            problem => DeviceRefusal::Proof(problem),
        }
    }
}

/// Why a device has no result.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum NoResult {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Refused(#[from] DeviceRefusal),
    /// The station failed; the device may come again.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Failed(Box<ToolError>),
}

impl From<ToolError> for NoResult {
    fn from(error: ToolError) -> Self {
        NoResult::Failed(Box::new(error))
    }
}

impl From<LotError> for NoResult {
    fn from(error: LotError) -> Self {
        ToolError::from(error).into()
    }
}
