//! Views of assertions by type: snapd's checks of headers and body, and typed access.
//!
//! A view is made from headers (and the body, if the type has rules for it), signed or not, or by
//! `TryFrom` from an [`Assertion`](crate::Assertion). It does not verify the signature.

mod account;
mod account_key;
mod common;
mod constraints;
mod device_session_request;
mod hardware_identity;
mod model;
mod model_snaps;
mod rules;
mod serial;
mod serial_request;

pub use account::Account;
pub use account_key::{AccountKey, LatestAccountKeys};
pub use device_session_request::DeviceSessionRequest;
pub use hardware_identity::HardwareIdentity;
pub use model::Model;
pub use serial::Serial;
pub use serial_request::SerialRequest;

use identity_key::DigestForm;

pub use crate::hardware_key::{HardwareKey, HardwareKeyError, WrongNonceSignature};

use crate::fields::HeaderError;
use crate::headers::Headers;
use crate::registry::AssertionType;

/// Checks the rules of the type `kind` before signing. Types without a view only have the rules of
/// all types.
pub(crate) fn check(
    kind: &AssertionType,
    headers: &Headers,
    body: &str,
    digest_form: DigestForm,
) -> Result<(), HeaderError> {
    match kind.name() {
        account::TYPE => Account::check(headers).map(drop),
        account_key::TYPE => AccountKey::check_to_sign(headers, body),
        device_session_request::TYPE => DeviceSessionRequest::check(headers).map(drop),
        hardware_identity::TYPE => HardwareIdentity::check_with_form(headers, digest_form).map(drop),
        model::TYPE => Model::check(headers).map(drop),
        serial::TYPE => Serial::check(headers).map(drop),
        serial_request::TYPE => SerialRequest::check(headers).map(drop),
        _ => Ok(()),
    }
}
