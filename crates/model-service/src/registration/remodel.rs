//! A remodel: a device with a serial of one model asks for a serial of another. It stays the same
//! device.

use failure::Diagnostic;
use jiff::Timestamp;
use snap_assertions::types::{Serial, SerialRequest};
use snap_assertions::{Assertion, HeaderError};
use thiserror::Error;

use crate::account_keys::{AccountKeys, SignatureError};
use crate::models::{KnownModel, Models};
use crate::store::SerialNumber;

/// The headers in which snapd names the old serial.
const ORIGINAL: [&str; 3] = ["original-brand-id", "original-model", "original-serial"];

/// Why a remodel is refused.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum RemodelError {
    #[error("the request names the old serial of a remodel, but does not hold it")]
    #[diagnostic(code("remodel-serial"), help("Register the device again without a remodel"))]
    Missing,
    #[error("the old serial of the remodel is not valid: {0}")]
    #[diagnostic(code("remodel-serial"), help("Register the device again without a remodel"))]
    Invalid(HeaderError),
    #[error("the old serial of the remodel is not the one that the request names in original-serial")]
    #[diagnostic(code("remodel-serial"), help("Register the device again without a remodel"))]
    OtherSerial,
    #[error("the signature of the old serial of the remodel is not accepted: {0}")]
    #[diagnostic(code("remodel-serial"), help("Register the device again without a remodel"))]
    Signature(SignatureError),
    #[error("the old serial of the remodel is by {account}, which does not sign serials of {model}")]
    #[diagnostic(code("remodel-serial"), help("Register the device again without a remodel"))]
    Authority { account: String, model: String },
    #[error("the old serial of the remodel is for another device key than the request")]
    #[diagnostic(code("remodel-serial"), help("Register the device again without a remodel"))]
    OtherDeviceKey,
    #[error("the old serial of the remodel was not issued by this model service")]
    #[diagnostic(code("remodel-serial"), help("Register the device again without a remodel"))]
    NotIssued,
    #[error("the old serial {serial:?} of the remodel belongs to another hardware identity")]
    #[diagnostic(code("remodel-identity"), help("Register the device again without a remodel"))]
    OtherIdentity { serial: String },
    #[error("the old model {model} of the device is not known to this model service")]
    #[diagnostic(
        code("remodel-provisioning"),
        help("Remodel only between models that are provisioned in the same way")
    )]
    UnknownModel { model: String },
    #[error("the old model {model} of the device is provisioned by {old}, the new one by {new}")]
    #[diagnostic(
        code("remodel-provisioning"),
        help("Remodel only between models that are provisioned in the same way")
    )]
    Provisioning {
        model: String,
        old: &'static str,
        new: &'static str,
    },
}

/// The old serial, if this is a remodel, after every check that does not need the database.
pub(super) fn old_number(
    request: (&Assertion, &SerialRequest<'_>),
    old_serial: Option<&Assertion>,
    model: &KnownModel,
    models: &Models,
    account_keys: &AccountKeys,
) -> Result<Option<SerialNumber>, RemodelError> {
    let (assertion, request) = request;
    let named = ORIGINAL.map(|name| assertion.header(name));
    let old_serial = match (old_serial, named) {
        (None, [None, None, None]) => return Ok(None),
        (Some(old_serial), _) => old_serial,
        (None, _) => return Err(RemodelError::Missing),
    };
    let serial = Serial::try_from(old_serial).map_err(RemodelError::Invalid)?;
    if named != [serial.brand_id(), serial.model(), serial.serial()].map(Some) {
        return Err(RemodelError::OtherSerial);
    }
    account_keys
        .verify(old_serial, Timestamp::now())
        .map_err(RemodelError::Signature)?;
    if serial.device_key() != request.device_key() {
        return Err(RemodelError::OtherDeviceKey);
    }
    let old_model = check_provisioning(&serial, model, models)?;
    check_authority(old_serial, old_model)?;
    Ok(Some(SerialNumber {
        brand: serial.brand_id().to_owned(),
        model: serial.model().to_owned(),
        serial: serial.serial().to_owned(),
    }))
}

/// Checks that the account that signed the old serial signs serials of the old model: the brand, or
/// the account of the settings, which was in `serial-authority` when the serial was issued.
fn check_authority(old_serial: &Assertion, old_model: &KnownModel) -> Result<(), RemodelError> {
    let account = old_serial.header("authority-id").unwrap_or_default();
    if account == old_model.brand || account == old_model.authority {
        return Ok(());
    }
    Err(RemodelError::Authority {
        account: account.to_owned(),
        model: format!("{}/{}", old_model.brand, old_model.name),
    })
}

/// Finds the old model, and checks that the new one is provisioned in the same way.
fn check_provisioning<'a>(
    old: &Serial<'_>,
    model: &KnownModel,
    models: &'a Models,
) -> Result<&'a KnownModel, RemodelError> {
    let (brand, name) = (old.brand_id(), old.model());
    let old_model = format!("{brand}/{name}");
    let Some(known) = models.find(brand, name) else {
        return Err(RemodelError::UnknownModel { model: old_model });
    };
    match (known.provisioning().name(), model.provisioning().name()) {
        (old, new) if old == new => Ok(known),
        (old, new) => Err(RemodelError::Provisioning {
            model: old_model,
            old,
            new,
        }),
    }
}

/// Checks that the old serial was issued to `device`.
pub(super) fn check_holder(
    old: &SerialNumber,
    holder: Option<&str>,
    device: &str,
) -> Result<(), RemodelError> {
    match holder {
        Some(holder) if holder == device => Ok(()),
        Some(_) => Err(RemodelError::OtherIdentity {
            serial: old.serial.clone(),
        }),
        None => Err(RemodelError::NotIssued),
    }
}
