//! Views of assertions by type: every check that snapd makes on their headers and body, and typed access.
//!
//! A view is made of headers (and a body where the type has rules for it), signed or not, or of an
//! [`Assertion`](crate::Assertion) by `TryFrom`. It does not verify the signature.

mod account;
mod account_key;
mod constraints;
mod hardware_identity;
mod hardware_key;
mod model;
mod model_snaps;
mod rules;
mod serial;
mod serial_request;

pub use account::Account;
pub use account_key::AccountKey;
pub use hardware_identity::HardwareIdentity;
pub use hardware_key::{HardwareKey, HardwareKeyKind, NonceError, NonceHash};
pub use model::Model;
pub use rules::{is_account_id, is_hardware_name};
pub use serial::Serial;
pub use serial_request::SerialRequest;

use crate::assertion::check_common;
use crate::error::{DigestForm, HeaderError, HeaderProblem};
use crate::fields::Fields;
use crate::headers::Headers;
use crate::key::PublicKey;
use crate::registry::AssertionType;

/// Makes the checks of the type `kind` on what is about to be signed. Types without a view here have none
/// beyond the common ones.
pub(crate) fn check(
    kind: &AssertionType,
    headers: &Headers,
    body: &str,
    digest_form: DigestForm,
) -> Result<(), HeaderError> {
    match kind.name() {
        account::TYPE => Account::check(headers).map(drop),
        account_key::TYPE => AccountKey::check_to_sign(headers, body),
        hardware_identity::TYPE => HardwareIdentity::check_with_form(headers, digest_form).map(drop),
        model::TYPE => Model::check(headers).map(drop),
        serial::TYPE => Serial::check(headers).map(drop),
        serial_request::TYPE => SerialRequest::check(headers).map(drop),
        _ => Ok(()),
    }
}

/// The fields of `headers` after the common checks, if they are of the type `expected` and of a format known
/// here.
fn fields_of<'a>(headers: &'a Headers, expected: &'static str) -> Result<Fields<'a>, HeaderError> {
    let fields = Fields::of(headers);
    let common = check_common(headers)?;
    if common.kind.name() != expected {
        let found = common.kind.name().to_owned();
        return Err(fields.error("type", HeaderProblem::OtherType { found, expected }));
    }
    let supported = common.kind.max_format();
    if common.format > supported {
        let found = common.format;
        return Err(fields.error("format", HeaderProblem::UnsupportedFormat { found, supported }));
    }
    Ok(fields)
}

/// The public key in the header `name`.
fn public_key(fields: Fields<'_>, name: &str) -> Result<PublicKey, HeaderError> {
    PublicKey::decode(fields.str(name)?).map_err(|error| fields.error(name, error))
}

/// Checks that the header `name` holds the id of `key`, which stands in `place`.
fn check_key_id(
    fields: Fields<'_>,
    name: &str,
    key: &PublicKey,
    place: &'static str,
) -> Result<(), HeaderError> {
    if fields.str(name)? == key.id() {
        return Ok(());
    }
    let expected = key.id().to_owned();
    Err(fields.error(name, HeaderProblem::NotTheKeys { key: place, expected }))
}
