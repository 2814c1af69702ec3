//! Checks that several views share.

use crate::assertion::check_common;
use crate::fields::{Fields, HeaderError, HeaderProblem};
use crate::headers::Headers;
use crate::key::PublicKey;

/// The fields of `headers`, after the checks that all types share, if the type is `expected` and
/// the format is known.
pub(super) fn fields_of<'a>(headers: &'a Headers, expected: &'static str) -> Result<Fields<'a>, HeaderError> {
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
pub(super) fn public_key(fields: Fields<'_>, name: &str) -> Result<PublicKey, HeaderError> {
    PublicKey::decode(fields.str(name)?).map_err(|error| fields.error(name, error))
}

/// Checks that the header `name` is the id of `key`, which is in `place`.
pub(super) fn check_key_id(
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
