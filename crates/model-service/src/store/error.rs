//! Database errors: cause and advice.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use failure::{Diagnostic, Status};
use thiserror::Error;

use super::sqlite::LedgerError;
use crate::waiting::Transient;

/// Why the database cannot be used.
#[derive(Clone, Debug, Error, Diagnostic)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the database {}: {reason}", path.display())]
    #[diagnostic(
        code("database-not-opened"),
        help("Check `database` in the settings, and that its directory can be written")
    )]
    NotOpened {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system said.
        reason: String,
    },
    /// A file of the database does not exist.
    #[error("the database {} does not exist", path.display())]
    #[diagnostic(
        code("database-missing"),
        help(
            "Restore a backup with `model-service restore`, or create a new one with `model-service init-store`"
        )
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// `init-store` finds a database.
    #[error("the database {} exists", path.display())]
    #[diagnostic(
        code("database-exists"),
        help("Serve it, or set another `database` in the settings")
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no database of the model service.
    #[error("the file {} holds no database of the model service", path.display())]
    #[diagnostic(
        code("database-empty"),
        help(
            "Restore a backup with `model-service restore`, or remove the file and run `model-service init-store`"
        )
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Another release of this program made the database.
    #[error(
        "the database {} has version {found}, but this program supports the versions {oldest} to {latest}",
        path.display()
    )]
    #[diagnostic(
        code("database-version"),
        help(
            "Run a release of model-service that supports this version, or restore a backup with a supported one"
        )
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version of the file.
        found: i64,
        /// The oldest version that this program migrates.
        oldest: i64,
        /// The version that this program writes.
        latest: i64,
    },
    /// Another process has the database open, and this one needs it alone.
    #[error("another process uses the database {}", path.display())]
    #[diagnostic(
        code("database-in-use"),
        help("Stop the model service and its other commands, and try again")
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The database has an older version, and `serve` has not migrated it yet.
    #[error("the database {} has an older version, from before the ledger", path.display())]
    #[diagnostic(
        code("database-not-migrated"),
        help("Start `model-service serve` once, which migrates it")
    )]
    NotMigrated {
        /// The file.
        path: PathBuf,
    },
    /// A backup would replace something.
    #[error("{} exists and is not an empty directory", path.display())]
    #[diagnostic(
        code("directory-not-empty"),
        help("Name a directory that does not exist; nothing is overwritten")
    )]
    BackupExists {
        /// The path.
        path: PathBuf,
    },
    /// A file of a backup is missing or damaged.
    #[error("{} is not a backup of the database: {reason}", path.display())]
    #[diagnostic(
        code("backup-invalid"),
        help("Name a directory that `model-service backup` made")
    )]
    BackupInvalid {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// The file was deleted or replaced while this process had it open. Nothing was stored.
    #[error("the database {} was deleted or replaced while it was open", path.display())]
    #[diagnostic(
        code("database-replaced"),
        help(
            "Check who changed it, then start the model service again, with a restored backup if it is lost"
        )
    )]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// A file beside the database or a backup cannot be written.
    #[error("cannot write {}: {reason}", path.display())]
    #[diagnostic(
        code("store-file-unwritable"),
        help("Check that its directory exists, can be written and has room")
    )]
    NotWritten {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The URL of the database cannot be used.
    #[error("the URL of the PostgreSQL database is not valid: {reason}")]
    #[diagnostic(
        code("database-url-invalid"),
        help("Write it as postgres://USER@HOST:PORT/NAME; docs/model-service.md lists the parameters")
    )]
    DatabaseUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// The file of `sslrootcert` has no usable certificates.
    #[error("cannot use the certificates in {}: {reason}", path.display())]
    #[diagnostic(
        code("database-certificates-invalid"),
        help(
            "Set `sslrootcert` in the URL of the database to a PEM file of the certificates that sign the server's"
        )
    )]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// A file for the connection to the database cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    ConnectionFile(Arc<files::FileError>),
    /// PostgreSQL cannot be reached, or refuses the connection.
    #[error("cannot connect to the PostgreSQL database: {reason}")]
    #[diagnostic(
        code("database-unreachable"),
        help("Check the URL of the database and the password, and that the server runs")
    )]
    Unreachable {
        /// What the system or the server said.
        reason: String,
    },
    /// The database has no tables.
    #[error("the database {database} has no tables of the model service")]
    #[diagnostic(
        code("database-schema-missing"),
        help("Create them with `model-service init-store`")
    )]
    SchemaMissing {
        /// The name of the database and the host.
        database: String,
    },
    /// `init-store` finds the tables.
    #[error("the database {database} has the tables of the model service")]
    #[diagnostic(
        code("database-schema-exists"),
        help("Serve it, or set another `database` in the settings")
    )]
    SchemaExists {
        /// The name of the database and the host.
        database: String,
    },
    /// Another release of this program made the tables.
    #[error("the tables in the database {database} have version {found}, but this program supports {latest}")]
    #[diagnostic(
        code("database-schema-newer"),
        help("Run a release of model-service that supports this version")
    )]
    SchemaNewer {
        /// The name of the database and the host.
        database: String,
        /// The version of the tables.
        found: u32,
        /// The version that this program writes.
        latest: u32,
    },
    /// `backup` and `restore` are for SQLite.
    #[error("backups of a PostgreSQL database are made and restored by PostgreSQL")]
    #[diagnostic(
        code("backup-by-postgresql"),
        help("Use pg_dump, or pg_basebackup and an archive of the write-ahead log")
    )]
    BackupByPostgresql,
    /// `ledger verify` is for the ledger of SQLite.
    #[error("the ledger is a table of the PostgreSQL database, without a chain of hashes")]
    #[diagnostic(
        code("ledger-in-postgresql"),
        help("Read it with psql: SELECT * FROM ledger ORDER BY number")
    )]
    LedgerInPostgresql,
    /// A table to which the rows of another database are moved has other rows.
    #[error("the table {table} of the PostgreSQL database has other rows than the SQLite database")]
    #[diagnostic(
        code("migration-target-used"),
        help("Name an empty database, or one that `model-service migrate-store` filled and nobody used")
    )]
    TargetUsed {
        /// The table.
        table: &'static str,
    },
    /// The rows that were moved are not those that were read.
    #[error("the rows of the table {table} in the PostgreSQL database differ from those that were copied")]
    #[diagnostic(
        code("migration-differs"),
        help("Nothing was stored: check that the PostgreSQL database has the encoding UTF8, and try again")
    )]
    TransferDiffers {
        /// The table.
        table: &'static str,
    },
    /// SQLite or PostgreSQL failed.
    #[error("the database failed: {0}")]
    #[diagnostic(
        code("database-failed"),
        help("Check that its disk works and has room, then try again")
    )]
    Failed(String),
    /// PostgreSQL refuses a value. Nothing was stored.
    #[error("the database refuses a value: {0}")]
    #[diagnostic(
        code("database-value-refused"),
        help("Correct the value; if it is valid, report a fault of the model service")
    )]
    Refused(String),
    /// PostgreSQL rolled the operation back because of others or its time limit, or does not write
    /// now. Nothing was stored.
    #[error("the database rolled the operation back: {0}")]
    #[diagnostic(
        code("database-rolled-back"),
        help(
            "Try again; if it fails again, check that `database` names the primary server, and which transactions hold locks"
        )
    )]
    RolledBack(String),
    /// The connection was lost before PostgreSQL confirmed the commit.
    #[error(
        "the connection to the database was lost, and it is not known whether the change was stored: {0}"
    )]
    #[diagnostic(
        code("database-result-unknown"),
        help("Look at the serial or identity before you try again")
    )]
    ResultUnknown(String),
    /// Another import stores its identities.
    #[error("another import is still storing identities")]
    #[diagnostic(code("import-running"), help("Import again when the other import has ended"))]
    ImportRunning,
    /// The transaction was not committed, or the thread that read ended early.
    #[error("the operation on the database did not finish")]
    #[diagnostic(
        code("database-interrupted"),
        help("Try again; the log of the model service has the reason")
    )]
    Interrupted,
    /// The ledger cannot be used. Nothing was stored.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<refinery::Error> for StoreError {
    fn from(error: refinery::Error) -> Self {
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}"));
        Self::Failed(format!("{error}{}", cause.unwrap_or_default()))
    }
}

impl Transient for StoreError {
    /// SQLite waits for its locks inside, and what its disk refuses does not pass soon.
    fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::RolledBack(_) | Self::ResultUnknown(_)
        )
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

    /// The exit status of a command that ends with this error.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::NotOpened { .. }
            | Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Empty { .. }
            | Self::Version { .. }
            | Self::NotMigrated { .. }
            | Self::BackupExists { .. }
            | Self::BackupInvalid { .. }
            | Self::InUse { .. }
            | Self::DatabaseUrl { .. }
            | Self::Certificates { .. }
            | Self::ConnectionFile(_)
            | Self::SchemaMissing { .. }
            | Self::SchemaExists { .. }
            | Self::SchemaNewer { .. }
            | Self::BackupByPostgresql
            | Self::LedgerInPostgresql
            | Self::TargetUsed { .. } => Status::BadInput,
            Self::Unreachable { .. } | Self::RolledBack(_) | Self::ResultUnknown(_) => Status::Service,
            Self::TransferDiffers { .. }
            | Self::Replaced { .. }
            | Self::NotWritten { .. }
            | Self::Failed(_)
            | Self::Refused(_)
            | Self::ImportRunning
            | Self::Interrupted => Status::Internal,
            Self::Ledger(error) => error.status(),
        }
    }
}
