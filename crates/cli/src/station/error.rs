//! Errors of a station in line: cause and advice.

use std::io;
use std::path::PathBuf;

use files::FileError;
use miette::Diagnostic;
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
    Proof(#[from] ProofProblem),
    #[error("the hardware id {0:?} is not among the expected ones")]
    #[diagnostic(
        code("hardware-id-not-expected"),
        help(
            "Correct the hardware id of the device, or add it to the list and start the station with --expect again"
        )
    )]
    NotExpected(String),
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
