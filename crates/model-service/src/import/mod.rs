//! The import of hardware identities: verified, then stored all or none.

mod error;
mod importer;
mod input;
mod read;
mod report;
mod verify;

pub(crate) use error::ImportError;
pub(crate) use importer::Importer;
pub(crate) use input::Input;
pub(crate) use report::{ImportCounts, ImportOutcome, ImportReport, ImportSummary, ReportLine};
