//! Errors of the check itself, before there is a report.

use std::path::PathBuf;

use files::FileError;
use miette::Diagnostic;
use thiserror::Error;

use crate::snap::squashfs::SquashfsError;

/// Why a path cannot be checked.
#[derive(Debug, Error, Diagnostic)]
pub enum GadgetError {
    /// The file or directory cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The file cannot be unpacked.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Squashfs(#[from] SquashfsError),
    /// The directory is the source of a snap.
    #[error("{} is a snapcraft project, not a snap", path.display())]
    #[diagnostic(
        code("snapcraft-project"),
        help("Check the project with `--project`, or run `snapcraft prime` and check its directory prime")
    )]
    SnapcraftProject {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is not the source of a snap.
    #[error("{} has no snapcraft.yaml", path.display())]
    #[diagnostic(
        code("no-snapcraft-yaml"),
        help("Name the directory that contains snapcraft.yaml or snap/snapcraft.yaml")
    )]
    NoProject {
        /// The directory.
        path: PathBuf,
    },
}

impl GadgetError {
    /// Returns true if this machine cannot unpack the snap, whatever the snap is.
    pub fn is_of_this_machine(&self) -> bool {
        matches!(
            self,
            GadgetError::Squashfs(
                SquashfsError::UnsquashfsMissing
                    | SquashfsError::UnsquashfsFailed { .. }
                    | SquashfsError::NoTemporaryDirectory { .. }
            )
        )
    }
}
