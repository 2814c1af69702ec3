//! An open identity key, wherever it is kept.

use identity_key::KeyKind;

use super::IdentityError;
#[cfg(feature = "tpm")]
use super::TpmKey;

/// An open identity key. `'t` is the lifetime of the connection to a TPM.
pub trait OpenKey<'t> {
    /// Signs `message`, see [`HardwareIdentity::sign`](super::HardwareIdentity::sign).
    ///
    /// # Errors
    /// [`IdentityError`] of the backend.
    fn sign(&mut self, kind: KeyKind, message: &[u8]) -> Result<Vec<u8>, IdentityError>;

    /// The key as one in a TPM.
    ///
    /// # Errors
    /// [`IdentityError::NotInTpm`].
    #[cfg(feature = "tpm")]
    fn tpm(&mut self) -> Result<TpmKey<'_, 't>, IdentityError> {
        Err(IdentityError::NotInTpm)
    }
}
