//! Which module, token and PIN: the settings below `pkcs11`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use failure::Diagnostic;
use thiserror::Error;

/// The label of the key, if the settings name none.
const LABEL: &str = "hardware-identity";
/// Generating an RSA key takes a minute in a slow token.
const LIMIT: Duration = Duration::from_secs(120);

/// The settings below `pkcs11`.
#[derive(Clone, Debug)]
pub struct Pkcs11Settings {
    /// The library. A relative path is one in the gadget snap.
    pub module: Option<PathBuf>,
    /// Label or serial number of the token. Unset, the module must have only one token.
    pub token: Option<String>,
    /// The file with the PIN of the user. A relative path is one in the gadget snap.
    pub pin_file: Option<PathBuf>,
    /// The label of a new key.
    pub key_label: String,
    /// The longest time that the module may take for one operation.
    pub timeout: Duration,
}

impl Default for Pkcs11Settings {
    fn default() -> Self {
        Pkcs11Settings {
            module: None,
            token: None,
            pin_file: None,
            key_label: LABEL.to_owned(),
            timeout: LIMIT,
        }
    }
}

/// The backend is `pkcs11`, and no module is named.
#[derive(Debug, Error, Diagnostic)]
#[error("`key-backend` is pkcs11, but `pkcs11.module` is not set")]
#[diagnostic(
    code("pkcs11-module-unset"),
    help("Set `pkcs11.module` to the path of the vendor's library, absolute or in the gadget snap")
)]
pub struct ModuleUnset;

impl Pkcs11Settings {
    /// Makes relative paths those in the gadget snap.
    pub(crate) fn resolve(&mut self, snap: &Path) {
        for path in [&mut self.module, &mut self.pin_file].into_iter().flatten() {
            // An absolute path stays as it is.
            *path = snap.join(&*path);
        }
    }

    /// The path of the module.
    ///
    /// # Errors
    /// [`ModuleUnset`].
    pub fn module(&self) -> Result<&Path, ModuleUnset> {
        self.module.as_deref().ok_or(ModuleUnset)
    }
}
