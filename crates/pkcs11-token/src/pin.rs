//! The PIN of a token in a file.

use std::path::{Path, PathBuf};

use cryptoki::types::AuthPin;
use files::FileError;
use miette::Diagnostic;
use thiserror::Error;

/// The largest PIN file in bytes.
const LARGEST: u64 = 64 * 1024;

/// Why no PIN could be read from a file.
#[derive(Debug, Error, Diagnostic)]
pub enum PinFileError {
    /// The PIN file cannot be read, or others can read it.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The PIN file does not hold a PIN alone.
    #[error("the PIN file {} does not hold one line of UTF-8 text", .0.display())]
    #[diagnostic(code("pin-file-malformed"), help("Write the PIN alone into the file"))]
    Malformed(PathBuf),
}

/// Reads the PIN in a file, with or without a line feed after it. `allow_exposed` accepts a file
/// that others can read or write.
///
/// # Errors
/// [`PinFileError`].
pub fn read_pin(file: &Path, allow_exposed: bool) -> Result<AuthPin, PinFileError> {
    let bytes = files::read_private(file, LARGEST, allow_exposed)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let pin = text.strip_suffix('\n').unwrap_or(text);
    let pin = pin.strip_suffix('\r').unwrap_or(pin);
    match pin.is_empty() || pin.contains('\n') {
        true => Err(PinFileError::Malformed(file.to_owned())),
        false => Ok(AuthPin::from(pin)),
    }
}
