//! The serial-request, and the stream of assertions that contains it.

use anyhow::{Context, Result};
use serde_json::json;
use snap_assertions::{Assertion, Encoder, LocalSigner, SignOptions, Signer as _, Statement};

use super::model::DeviceModel;

pub(super) fn sign(
    model: &DeviceModel,
    key: &LocalSigner,
    request_id: &str,
    serial: Option<&str>,
    body: &str,
) -> Result<Assertion> {
    let mut headers = json!({
        "type": "serial-request", "brand-id": model.brand_id, "model": model.name, "request-id": request_id,
        "device-key": key.public_key().encode(),
    });
    if let Some(serial) = serial {
        headers["serial"] = serial.into();
    }
    if !body.is_empty() {
        headers["body"] = body.into();
    }
    serde_json::from_value::<Statement>(headers)
        .map_err(anyhow::Error::from)
        .and_then(|statement| Ok(statement.sign(key, &SignOptions::now())?))
        .context(
            "cannot sign the serial-request; correct the request-id of the service or the options of \
             the gadget",
        )
}

/// The stream of request and model, as in every initial registration.
pub(super) fn stream(request: &Assertion, model: &DeviceModel) -> Result<String> {
    let mut encoder = Encoder::new(Vec::new());
    encoder.write(request)?;
    encoder.write(&model.assertion)?;
    Ok(String::from_utf8(encoder.into_inner())?)
}
