//! Database errors: cause and advice.

use std::path::{Path, PathBuf};

use failure::Diagnostic;
use thiserror::Error;

/// Why the database cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum StoreError {
    /// The database cannot be opened or created.
    #[error("cannot open the database {}: {reason}", path.display())]
    #[diagnostic(
        code("database-not-opened"),
        help("Check `database` in the settings, and that its directory can be written")
    )]
    NotOpened {
        /// The file that the settings name.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// Another release of this program made the database.
    #[error("the database has version {found}, but this program supports only version {supported}")]
    #[diagnostic(
        code("database-version"),
        help("Use the release that made it, or another `database` in the settings")
    )]
    Version {
        /// The version of the database.
        found: i64,
        /// The version that this program supports.
        supported: i64,
    },
    /// SQLite failed.
    #[error("the database failed: {0}")]
    #[diagnostic(
        code("database-failed"),
        help("Check that its disk works and has room, then try again")
    )]
    Failed(String),
    /// The transaction was not committed, or the thread that read ended early.
    #[error("the operation on the database did not finish")]
    #[diagnostic(
        code("database-interrupted"),
        help("Try again; the log of the model service has the reason")
    )]
    Interrupted,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl StoreError {
    /// The same error for a failure while the database at `path` was opened.
    pub(super) fn while_opening(self, path: &Path) -> Self {
        match self {
            Self::Failed(reason) => Self::NotOpened {
                path: path.to_owned(),
                reason,
            },
            other => other,
        }
    }
}
