//! A remodel: a device that has a serial of one model asks for one of another. It stays the same device.

use jiff::Timestamp;
use snap_assertions::types::{Serial, SerialRequest};
use snap_assertions::{Assertion, PublicKey};

use crate::models::{KnownModel, Models};
use crate::refusal::{Code, Refusal};
use crate::store::Number;
use crate::trust::AccountKeys;

/// The headers by which snapd names the old serial.
const ORIGINAL: [&str; 3] = ["original-brand-id", "original-model", "original-serial"];

/// The old serial, if this is a remodel, after every check that needs no database.
pub(super) fn old_number(
    request: (&Assertion, &SerialRequest<'_>),
    old_serial: Option<&Assertion>,
    model: &KnownModel,
    models: &Models,
    account_keys: &AccountKeys,
) -> Result<Option<Number>, Refusal> {
    let (assertion, request) = request;
    let named = ORIGINAL.map(|name| assertion.header(name));
    let old_serial = match (old_serial, named) {
        (None, [None, None, None]) => return Ok(None),
        (Some(old_serial), _) => old_serial,
        (None, _) => return Err(wrong("the request names it, but does not hold it")),
    };
    let serial = Serial::try_from(old_serial).map_err(|error| wrong(&error.to_string()))?;
    if named != [serial.brand_id(), serial.model(), serial.serial()].map(Some) {
        return Err(wrong(
            "it is not the one that the request names in original-serial",
        ));
    }
    account_keys
        .verify(old_serial, Timestamp::now())
        .map_err(|problem| wrong(&problem))?;
    check_device_key(serial.device_key(), request)?;
    check_provisioning(&serial, model, models)?;
    Ok(Some(Number {
        brand: serial.brand_id().to_owned(),
        model: serial.model().to_owned(),
        serial: serial.serial().to_owned(),
    }))
}

fn check_device_key(old: &PublicKey, request: &SerialRequest<'_>) -> Result<(), Refusal> {
    match old == request.device_key() {
        true => Ok(()),
        false => Err(wrong("it is for another device key than the request")),
    }
}

fn check_provisioning(old: &Serial<'_>, model: &KnownModel, models: &Models) -> Result<(), Refusal> {
    let (brand, name) = (old.brand_id(), old.model());
    let refused = |problem: String| {
        let next = "Remodel only between models that are provisioned in the same way";
        Err(Refusal::new(
            Code::RemodelProvisioning,
            format!("{problem}. {next}"),
        ))
    };
    let Some(old) = models.find(brand, name) else {
        return refused(format!("the device's old model {brand}/{name} is not known here"));
    };
    let (from, to) = (old.provisioning().name(), model.provisioning().name());
    if from == to {
        return Ok(());
    }
    refused(format!(
        "the device's old model {brand}/{name} is provisioned by {from}, the new one by {to}"
    ))
}

/// Checks that the old serial was handed out to `device`.
pub(super) fn check_holder(old: &Number, holder: Option<&str>, device: &str) -> Result<(), Refusal> {
    match holder {
        Some(holder) if holder == device => Ok(()),
        Some(_) => Err(Refusal::new(
            Code::RemodelIdentity,
            format!(
                "the device's old serial {:?} belongs to another hardware identity, and a remodel keeps the identity. Register \
                 the device anew",
                old.serial
            ),
        )),
        None => Err(wrong("it was not issued here")),
    }
}

fn wrong(problem: &str) -> Refusal {
    Refusal::new(
        Code::RemodelSerial,
        format!("the old serial of this remodel cannot be used: {problem}. Register the device anew"),
    )
}
