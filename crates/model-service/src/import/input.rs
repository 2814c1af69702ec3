//! The input of an import.

use std::io::{self, BufRead, BufReader};
use std::path::Path;

use files::FileError;

/// A stream of assertions.
pub(crate) struct Input {
    /// Its name in the report, if there may be several inputs.
    pub(crate) name: Option<String>,
    pub(crate) reader: Box<dyn BufRead + Send>,
}

impl Input {
    /// Opens a regular file; `-` is stdin.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let reader: Box<dyn BufRead + Send> = match path.to_str() {
            Some("-") => Box::new(BufReader::new(io::stdin())),
            _ => Box::new(BufReader::new(files::open(path)?)),
        };
        Ok(Self {
            name: Some(path.display().to_string()),
            reader,
        })
    }
}
