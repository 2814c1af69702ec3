//! Findings about shared libraries.

use std::borrow::Cow;
use std::fmt;

use miette::Diagnostic;
use thiserror::Error;

use crate::finding::FindingKind;

/// `users` are the hooks and apps with the problem, such as `hook configure, app tool`.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum LibraryFinding {
    #[error("it needs {library}, which is neither on its search path in the snap nor in {base} ({users})")]
    #[diagnostic(code("missing-library"), help("{fix}"))]
    Missing {
        library: String,
        base: String,
        users: String,
        fix: LibraryFix,
    },
    #[error("it opens {library} to reach the TPM, and does not find it ({users})")]
    #[diagnostic(code("missing-tcti"), help("{fix}"))]
    MissingTcti {
        library: String,
        users: String,
        fix: LibraryFix,
    },
    #[error("it needs glibc {major}.{minor}; {base} has {base_major}.{base_minor}")]
    #[diagnostic(
        code("glibc-too-new"),
        help(
            "Build it, or take it from a release, where glibc is no newer than that of {base}; or use \
             a newer base"
        )
    )]
    GlibcTooNew {
        major: u32,
        minor: u32,
        base: String,
        base_major: u32,
        base_minor: u32,
    },
}

/// How the loader comes to find a library.
#[derive(Debug)]
pub(crate) enum LibraryFix {
    /// The library is in this directory of the snap.
    SearchPath(String),
    /// The package has the library.
    Stage(String),
    /// The package is unknown.
    StageUnknown,
}

impl fmt::Display for LibraryFix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LibraryFix::SearchPath(directory) => write!(
                f,
                "Add $SNAP/{directory}, where the snap has the library, to LD_LIBRARY_PATH under \
                 `environment:` in meta/snap.yaml"
            ),
            LibraryFix::Stage(package) => write!(f, "Stage the package {package}"),
            LibraryFix::StageUnknown => f.write_str(
                "Stage the package that has the library, and add its directory to LD_LIBRARY_PATH under \
                 `environment:` in meta/snap.yaml",
            ),
        }
    }
}

impl FindingKind for LibraryFinding {
    fn why(&self) -> Cow<'static, str> {
        match self {
            LibraryFinding::Missing { .. } => "the loader ends the program before it does anything",
            LibraryFinding::MissingTcti { .. } => {
                "the library is opened by name at run time, so the first boot is the first to show it"
            }
            LibraryFinding::GlibcTooNew { .. } => "the loader refuses it on the device: version not found",
        }
        .into()
    }
}
