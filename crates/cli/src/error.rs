//! All failures of the tool, and the exit status of each.

use std::io::{self, Write as _};
use std::process::ExitCode;

use failure::Status;
use files::FileError;
use gadget_check::GadgetError;
use miette::Diagnostic;
use serde_json::{Value, json};
use signers::SigningKeyError;
use thiserror::Error;

use crate::activate::ActivateFailure;
use crate::device::DeviceFailure;
use crate::export::ExportFailure;
use crate::issuer_key::IssuerKeyError;
use crate::ledger::LedgerError;
use crate::output::OutputError;
use crate::pipeline::ThreadsError;
use crate::proof::{BatchError, ChallengeFailure};
use crate::prove::ProveFailure;
use crate::show::CheckFailure;
use crate::sign::SignFailure;
use crate::signals::{Interrupted, SignalsError};
use crate::signing_key::KeyChoiceError;
use crate::station::{LotError, PipeFailure, ServeFailure};
use crate::usage::UsageError;
use crate::verify::AssertionsFailed;

/// The name of the program in messages.
pub(crate) const PROGRAM: &str = "hardware-identity";
/// A shell shows this status for a program that SIGPIPE ended (128 + 13).
const CLOSED_STDOUT: u8 = 141;

/// A failure of the tool.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ToolError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    KeyChoice(#[from] KeyChoiceError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Device(#[from] DeviceFailure),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Export(#[from] ExportFailure),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Activate(#[from] ActivateFailure),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Check(#[from] CheckFailure),
    #[error(transparent)]
    #[diagnostic(transparent)]
    SigningKey(#[from] SigningKeyError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Sign(#[from] SignFailure),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Challenge(#[from] ChallengeFailure),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Signals(#[from] SignalsError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Interrupted(#[from] Interrupted),
    #[error(transparent)]
    #[diagnostic(transparent)]
    IssuerKey(#[from] IssuerKeyError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Assertions(#[from] AssertionsFailed),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Gadget(#[from] GadgetError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Threads(#[from] ThreadsError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Prove(#[from] ProveFailure),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Serve(#[from] ServeFailure),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pipe(#[from] PipeFailure),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lot(#[from] LotError),
}

impl ToolError {
    fn status(&self) -> Status {
        match self {
            ToolError::Usage(_) | ToolError::KeyChoice(_) => Status::Usage,
            ToolError::Device(failure) => failure.status(),
            ToolError::Activate(failure) => failure.status(),
            ToolError::Check(failure) => failure.status(),
            ToolError::SigningKey(error) if !error.is_bad_input() => Status::Device,
            ToolError::Sign(failure) => failure.status(),
            ToolError::Export(failure) => failure.status(),
            ToolError::Gadget(error) if error.is_of_this_machine() => Status::Internal,
            ToolError::Threads(_) | ToolError::Batch(BatchError::Random) => Status::Internal,
            ToolError::Signals(error) => error.status(),
            ToolError::Prove(failure) => failure.status(),
            ToolError::Serve(failure) => failure.status(),
            ToolError::Pipe(failure) => failure.status(),
            ToolError::File(_)
            | ToolError::Output(_)
            | ToolError::SigningKey(_)
            | ToolError::Challenge(_)
            | ToolError::Batch(_)
            | ToolError::Interrupted(_)
            | ToolError::IssuerKey(_)
            | ToolError::Ledger(_)
            | ToolError::Assertions(_)
            | ToolError::Lot(_)
            | ToolError::Gadget(_) => Status::BadInput,
        }
    }

    /// Members of the JSON object beside code, cause and advice.
    fn details(&self) -> Value {
        match self {
            ToolError::Assertions(failed) => failed.details(),
            ToolError::Sign(failure) => failure.details(),
            ToolError::Challenge(failure) => failure.details(),
            ToolError::Ledger(error) => error.details(),
            _ => json!({}),
        }
    }
}

/// Reports a failure: with `json` as the last line of stdout, and always as the last line of stderr.
///
/// A program whose stdout nobody reads any more ends without a message.
pub(crate) fn report(error: &ToolError, json: bool) -> ExitCode {
    if matches!(error, ToolError::Output(error) if error.is_closed_stdout()) {
        return ExitCode::from(CLOSED_STDOUT);
    }
    if json {
        let mut object = failure::json(error);
        if let (Value::Object(object), Value::Object(details)) = (&mut object, error.details()) {
            object.extend(details);
        }
        // The line on stderr and the exit status report the failure too.
        let _ = writeln!(io::stdout(), "{object}");
    }
    failure::report(PROGRAM, error);
    error.status().into()
}
