//! Ledger errors: cause and advice.

use std::path::PathBuf;

use failure::{Diagnostic, Status};
use thiserror::Error;

/// Why the ledger cannot be used.
#[derive(Clone, Debug, Error, Diagnostic)]
pub enum LedgerError {
    /// A file of the ledger cannot be read or written.
    #[error("cannot use the ledger {}: {reason}", path.display())]
    #[diagnostic(
        code("ledger-failed"),
        help("Check that its disk works and has room; until then no serials are issued")
    )]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A line was changed, removed, added or moved.
    #[error("the ledger is damaged: {}: {line}: {reason}", path.display())]
    #[diagnostic(
        code("ledger-damaged"),
        help("Stop the model service, find out who changed the ledger, and put back its files from a copy")
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line.
        line: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The last lines are missing: the database has them.
    #[error("the ledger {} ends with line {last}, but the database has line {expected}", path.display())]
    #[diagnostic(
        code("ledger-truncated"),
        help("Stop the model service, find out who changed the ledger, and put back its files from a copy")
    )]
    Truncated {
        /// The file that is written.
        path: PathBuf,
        /// The sequence of the last line, 0 without lines.
        last: u64,
        /// The sequence of the last line that the database has.
        expected: u64,
    },
    /// A restore lacks lines that the backup has.
    #[error("the ledger {} ends with line {last}, but the backup has line {backup}", path.display())]
    #[diagnostic(
        code("ledger-missing"),
        help(
            "Put the ledger's files back from a copy; if they are lost, remove what is left and add --new-ledger: serials issued after the backup can then go to other devices"
        )
    )]
    Missing {
        /// The file that is written.
        path: PathBuf,
        /// The sequence of the last line, 0 without lines.
        last: u64,
        /// The sequence of the last line that the backup has.
        backup: u64,
    },
    /// A restore with `--new-ledger` finds a ledger.
    #[error("the ledger {} exists, and a new one would forget its serials", path.display())]
    #[diagnostic(
        code("ledger-exists"),
        help("Restore without --new-ledger, which replays the ledger, or move its files elsewhere")
    )]
    Exists {
        /// The file that is written.
        path: PathBuf,
    },
    /// A line cannot be replayed, because the database says something else.
    #[error("line {sequence} of the ledger contradicts the database: {reason}")]
    #[diagnostic(
        code("ledger-contradicted"),
        help("Restore a backup of the database that belongs to this ledger")
    )]
    Contradiction {
        /// The sequence of the line.
        sequence: u64,
        /// What differs.
        reason: String,
    },
    /// SQLite failed.
    #[error("the database failed: {0}")]
    #[diagnostic(
        code("database-failed"),
        help("Check that its disk works and has room, then try again")
    )]
    Database(String),
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

impl LedgerError {
    /// The exit status of a command that ends with this error.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Line { .. }
            | Self::Truncated { .. }
            | Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Contradiction { .. } => Status::BadInput,
            Self::Failed { .. } | Self::Database(_) => Status::Internal,
        }
    }
}
