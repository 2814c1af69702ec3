//! Ledger errors: cause and advice.

use std::io;
use std::path::PathBuf;

use files::FileError;
use ledger_chain::ChainError;
use miette::Diagnostic;
use serde_json::{Value, json};
use thiserror::Error;

/// Why a ledger is not used, or not right.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum LedgerError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    #[error("cannot read or write the ledger {}: {reason}", path.display())]
    #[diagnostic(code("ledger-file-failed"), help("Check that its disk works and has room"))]
    Failed { path: PathBuf, reason: io::Error },
    #[error("another program is signing with the ledger {}", .0.display())]
    #[diagnostic(
        code("ledger-file-busy"),
        help("Try again when it has ended; `fuser {}` shows it", .0.display())
    )]
    Busy(PathBuf),
    #[error("the ledger {} is the file for the output too", .0.display())]
    #[diagnostic(code("ledger-is-output"), help("Name another file with --ledger"))]
    IsOutput(PathBuf),
    #[error("{} is not a ledger of signatures: {reason}", path.display())]
    #[diagnostic(
        code("ledger-foreign"),
        help("Name the ledger of this station, or a file that does not exist yet")
    )]
    Foreign { path: PathBuf, reason: String },
    #[error("the ledger {} ends with an incomplete line", .0.display())]
    #[diagnostic(
        code("ledger-line-incomplete"),
        help(
            "Copy the file, then remove that line with `sed -i '$d' {}`: its assertion was not written",
            .0.display()
        )
    )]
    Incomplete(PathBuf),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Chain(#[from] ChainError),
    #[error("the end of the ledger {} is damaged", .0.display())]
    #[diagnostic(
        code("ledger-end-broken"),
        help("Find the damage with `hardware-identity ledger verify {}`", .0.display())
    )]
    BrokenEnd(PathBuf),
    #[error("another program changed the ledger {} while it was used", .0.display())]
    #[diagnostic(
        code("ledger-file-changed"),
        help("Find out which program that was, and put the ledger back from a copy")
    )]
    Changed(PathBuf),
}

impl LedgerError {
    /// Members of the JSON object beside code, cause and advice.
    pub(crate) fn details(&self) -> Value {
        match self {
            LedgerError::Chain(ChainError::Broken { path, line, .. }) => {
                json!({"file": path.display().to_string(), "line": line})
            }
            _ => json!({}),
        }
    }
}
