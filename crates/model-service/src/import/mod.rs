//! The import of hardware identities: verified, then stored all or none.

mod arguments;
mod error;
mod importer;
mod input;
mod proofs;
mod read;
mod report;
mod verify;

pub use arguments::ImportArguments;
pub(crate) use error::ImportError;
pub(crate) use importer::Importer;
pub(crate) use input::Input;
pub(crate) use proofs::LedgerProofs;
pub(crate) use report::{ImportCounts, ImportOutcome, ImportReport, ImportSummary, ReportLine};
