//! `serial-request`: a device's request for its serial assertion, signed with the device key.

use super::common::{check_key_id, fields_of, public_key};
use super::rules::model_name;
use crate::assertion::Assertion;
use crate::fields::HeaderError;
use crate::headers::Headers;
use crate::key::PublicKey;

pub(super) const TYPE: &str = "serial-request";

/// A checked `serial-request`.
///
/// Only the signature proves that the device has its key:
///
/// ```
/// use snap_assertions::types::SerialRequest;
///
/// let text = include_bytes!("../../tests/vectors/serial-request.assert");
/// let assertion = snap_assertions::decode(text)?;
/// let request = SerialRequest::try_from(&assertion)?;
/// assertion.verify(request.device_key())?;
/// assert_eq!(request.request_id(), "REQ-0123456789");
/// assert_eq!(request.serial(), Some("EB2-0653"));
/// assert!(assertion.body().contains("request-id-signature"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SerialRequest<'a> {
    brand_id: &'a str,
    model: &'a str,
    request_id: &'a str,
    serial: Option<&'a str>,
    device_key: PublicKey,
}

impl<'a> SerialRequest<'a> {
    /// Checks the headers of a serial-request, including `sign-key-sha3-384`.
    ///
    /// # Errors
    /// If a header breaks a rule. The error names the first one.
    pub fn check(headers: &'a Headers) -> Result<Self, HeaderError> {
        let fields = fields_of(headers, TYPE)?;
        let brand_id = fields.str("brand-id")?;
        let model = model_name(fields)?;
        let request_id = fields.str("request-id")?;
        let serial = fields.optional_str("serial")?;
        let device_key = public_key(fields, "device-key")?;
        check_key_id(fields, "sign-key-sha3-384", &device_key, "device-key")?;
        Ok(Self {
            brand_id,
            model,
            request_id,
            serial: serial.filter(|serial| !serial.is_empty()),
            device_key,
        })
    }

    /// The account id of the brand.
    pub fn brand_id(&self) -> &'a str {
        self.brand_id
    }

    /// The name of the model.
    pub fn model(&self) -> &'a str {
        self.model
    }

    /// The nonce from the model service.
    pub fn request_id(&self) -> &'a str {
        self.request_id
    }

    /// The serial number that the device proposes, if it does.
    pub fn serial(&self) -> Option<&'a str> {
        self.serial
    }

    /// The key that snapd generated on the device, which must have signed the request.
    pub fn device_key(&self) -> &PublicKey {
        &self.device_key
    }
}

impl<'a> TryFrom<&'a Assertion> for SerialRequest<'a> {
    type Error = HeaderError;

    fn try_from(assertion: &'a Assertion) -> Result<Self, HeaderError> {
        Self::check(assertion.headers())
    }
}
