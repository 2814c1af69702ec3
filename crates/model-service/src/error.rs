//! Errors of the commands, and their exit statuses.

use std::io;

use failure::{Diagnostic, Status};
use files::FileError;
use ledger_chain::ChainError;
use thiserror::Error;

use crate::http::ServeError;
use crate::import::ImportError;
use crate::init::InitError;
use crate::models::ModelsError;
use crate::page::PageStartError;
use crate::service::ServiceError;
use crate::settings::SettingsError;
use crate::store::{StoreError, WithdrawalError};

/// Why a command failed.
#[derive(Debug, Error, Diagnostic)]
pub enum Error {
    /// `init` cannot make the directory.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Init(#[from] InitError),
    /// The settings cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Settings(#[from] SettingsError),
    /// A key, a secret or the database in the settings cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Service(#[from] ServiceError),
    /// The page cannot start.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Page(#[from] PageStartError),
    /// The server cannot start.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Serve(#[from] ServeError),
    /// An input of an import cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Input(#[from] FileError),
    /// An import ended early.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Import(#[from] ImportError),
    /// The ledger with the proofs cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Proofs(#[from] ChainError),
    /// An import refused assertions, and stored nothing.
    #[error("nothing was imported: {refused} of {total} assertions were refused")]
    #[diagnostic(
        code("import-refused"),
        help("Correct or remove the refused assertions, and import again")
    )]
    ImportRefused {
        /// The number of refused assertions.
        refused: u64,
        /// The number of all assertions.
        total: u64,
    },
    /// The report of an import cannot be printed.
    #[error("cannot write to stdout: {0}")]
    #[diagnostic(
        code("stdout-unwritable"),
        help("Check where stdout leads and that it has room")
    )]
    Stdout(io::Error),
    /// The database or the ledger failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// Nothing was blocked or released.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Withdrawal(#[from] WithdrawalError),
    /// `check` found errors.
    #[error("{errors} of {checks} checks found an error")]
    #[diagnostic(
        code("check-failed"),
        help("Follow the advice of the lines that begin with `error`")
    )]
    CheckFailed {
        /// The number of errors.
        errors: usize,
        /// The number of all checks.
        checks: usize,
    },
    /// The process that signs serials cannot talk to the service.
    #[error("cannot talk to the model service: {0}")]
    #[diagnostic(
        code("signing-process-alone"),
        help("Start `model-service serve`, which starts this command itself")
    )]
    SigningProcess(io::Error),
    /// The system refuses threads.
    #[error("cannot start threads: {0}")]
    #[diagnostic(
        code("threads-unavailable"),
        help("Check the limits of this user, and try again")
    )]
    Threads(io::Error),
}

impl Error {
    /// The exit status of the program.
    pub fn status(&self) -> Status {
        match self {
            Self::Init(InitError::Key { .. } | InitError::Random(_) | InitError::Stdout(_))
            | Self::Serve(ServeError::Signals(_) | ServeError::Stdout(_))
            | Self::Stdout(_)
            | Self::SigningProcess(_)
            | Self::Threads(_) => Status::Internal,
            Self::Service(ServiceError::Store(error))
            | Self::Import(ImportError::Store(error))
            | Self::Serve(ServeError::Store(error))
            | Self::Init(InitError::Store(error))
            | Self::Page(PageStartError::Store(error))
            | Self::Store(error) => error.status(),
            Self::Withdrawal(error) => error.status(),
            Self::Service(ServiceError::Models(ModelsError::SerialKeySource(_))) => Status::Device,
            Self::Import(ImportError::Report(_) | ImportError::Interrupted | ImportError::Stopped) => {
                Status::Internal
            }
            Self::Serve(ServeError::Listen { .. }) => Status::Service,
            Self::Init(_)
            | Self::Settings(_)
            | Self::Service(_)
            | Self::Page(_)
            | Self::Serve(_)
            | Self::Input(_)
            | Self::Proofs(_)
            | Self::ImportRefused { .. }
            | Self::CheckFailed { .. } => Status::BadInput,
        }
    }
}
