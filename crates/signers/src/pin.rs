//! The PIN of a token, from a file, the environment or the terminal, never from the command line.

use std::env;
use std::io;
use std::path::Path;

use cryptoki::types::AuthPin;
use miette::Diagnostic;
use pkcs11_token::{PinFileError, read_pin};
use thiserror::Error;
use zeroize::Zeroizing;

const VARIABLE: &str = "PKCS11_PIN";

/// Why no PIN could be read.
#[derive(Debug, Error, Diagnostic)]
pub enum PinError {
    /// The PIN file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] PinFileError),
    /// The variable is not text.
    #[error("{VARIABLE} is not UTF-8")]
    #[diagnostic(
        code("pin-variable-malformed"),
        help("Set {VARIABLE} to the PIN of the token")
    )]
    Variable,
    /// Nobody can type the PIN.
    #[error("cannot ask for the PIN of the token {label:?}: {reason}")]
    #[diagnostic(
        code("pin-missing"),
        help("Name a PIN file (the tool: --pin-file; in the URI: pin-source), or set {VARIABLE}")
    )]
    Missing {
        /// The label of the token.
        label: String,
        /// Why the terminal cannot be used.
        reason: io::Error,
    },
}

/// Where to look for the PIN first.
pub(crate) struct PinSource<'a> {
    pub(crate) file: Option<&'a Path>,
    pub(crate) allow_exposed: bool,
}

impl PinSource<'_> {
    /// The PIN of the token `label`: from the file given here, `uri_file` (the URI's `pin-source`),
    /// the environment, or the terminal; `None` if the token has its own keypad and nothing else
    /// gives a PIN.
    pub(crate) fn pin(
        &self,
        uri_file: Option<&Path>,
        label: &str,
        keypad: bool,
    ) -> Result<Option<AuthPin>, PinError> {
        if let Some(file) = self.file.or(uri_file) {
            return Ok(Some(read_pin(file, self.allow_exposed)?));
        }
        if let Some(value) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            let value = value.into_string().map_err(|_| PinError::Variable)?;
            return Ok(Some(secret(value)));
        }
        if keypad {
            return Ok(None);
        }
        let prompt = format!("PIN of the token \"{label}\": ");
        let typed = rpassword::prompt_password(prompt).map_err(|reason| PinError::Missing {
            label: label.to_owned(),
            reason,
        })?;
        Ok(Some(secret(typed)))
    }
}

/// Wipes `pin` too, which `AuthPin` may copy.
fn secret(pin: String) -> AuthPin {
    AuthPin::from(Zeroizing::new(pin).as_str())
}
