//! Results on stdout or in a file, which is replaced as a whole.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use files::FileError;
use miette::Diagnostic;
use thiserror::Error;

/// Permission bits of a file with results: nothing in it is secret.
pub(crate) const MODE: u32 = 0o644;

/// Why a result was not written.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum OutputError {
    /// stdout cannot be written.
    #[error("cannot write to stdout: {0}")]
    #[diagnostic(
        code("stdout-unwritable"),
        help("Check where stdout leads and that it has room")
    )]
    Stdout(io::Error),
    /// The file cannot be written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
}

impl OutputError {
    /// Returns true if the reader of stdout has ended, such as `head`.
    pub(crate) fn is_closed_stdout(&self) -> bool {
        matches!(self, OutputError::Stdout(reason) if reason.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Writes `text` to `file`, or to stdout if there is none.
///
/// # Errors
/// [`OutputError`]; an older file is then unchanged.
pub(crate) fn write(file: Option<&Path>, text: &str) -> Result<(), OutputError> {
    match file {
        None => {
            let mut stdout = io::stdout().lock();
            stdout
                .write_all(text.as_bytes())
                .and_then(|()| stdout.flush())
                .map_err(OutputError::Stdout)
        }
        // A terminal or /dev/stdout cannot be replaced by a file.
        Some(file) if is_special(file) => fs::write(file, text).map_err(|reason| unwritable(file, reason)),
        Some(file) => Ok(files::write(file, text.as_bytes(), MODE)?),
    }
}

/// Returns true if something else than a regular file has the name.
pub(crate) fn is_special(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| !metadata.is_file())
}

pub(crate) fn unwritable(path: &Path, reason: io::Error) -> OutputError {
    let path = path.to_owned();
    FileError::Unwritable { path, reason }.into()
}
