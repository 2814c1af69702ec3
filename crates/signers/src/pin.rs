//! The PIN of a token, from wherever it may come but the command line.

use std::env;
use std::path::Path;

use anyhow::{anyhow, bail};
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use crate::secret_file;

const VARIABLE: &str = "PKCS11_PIN";

/// Where to look for the PIN.
pub(crate) struct Pin<'a> {
    pub(crate) pin_file: Option<&'a Path>,
    pub(crate) insecure: bool,
}

impl Pin<'_> {
    /// The PIN of the token `label`: from the file of the command line, the file that the URI names, the environment, or
    /// the terminal; `None` if the token has a keypad of its own and nothing else gives a PIN.
    pub(crate) fn get(
        &self,
        source: Option<&Path>,
        label: &str,
        keypad: bool,
    ) -> anyhow::Result<Option<AuthPin>> {
        if let Some(file) = self.pin_file.or(source) {
            return from_file(file, self.insecure).map(Some);
        }
        if let Some(value) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            let value = value
                .into_string()
                .map_err(|_| anyhow!("{VARIABLE} is not UTF-8. Set it to the PIN of the token"))?;
            return Ok(Some(secret(value)));
        }
        if keypad {
            return Ok(None);
        }
        let typed = rpassword::prompt_password(format!("PIN of the token \"{label}\": ")).map_err(|error| {
            anyhow!(
                "there is no terminal to ask for the PIN of the token \"{label}\" on ({error}). Use --pin-file, or \
                 pin-source in the URI, or set {VARIABLE}"
            )
        })?;
        Ok(Some(secret(typed)))
    }
}

/// Wipes `pin` itself too, which `AuthPin` may copy.
fn secret(pin: String) -> AuthPin {
    AuthPin::from(Zeroizing::new(pin).as_str())
}

/// The PIN in a file, with or without a line feed after it.
fn from_file(file: &Path, insecure: bool) -> anyhow::Result<AuthPin> {
    let bytes = secret_file::read(file, "the PIN file", insecure)?;
    let shown = file.display();
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| anyhow!("the PIN file {shown} is not UTF-8 text. Write the PIN alone into it"))?;
    let pin = text.strip_suffix('\n').unwrap_or(text);
    let pin = pin.strip_suffix('\r').unwrap_or(pin);
    if pin.is_empty() || pin.contains('\n') {
        bail!("the PIN file {shown} does not hold one line. Write the PIN alone into it");
    }
    Ok(AuthPin::from(pin))
}
