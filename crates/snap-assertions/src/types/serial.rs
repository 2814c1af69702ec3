//! `serial`: the identity that a brand gives to a device key.

use jiff::Timestamp;

use super::rules::{ACCOUNT_ID, model_name};
use super::{check_key_id, fields_of, public_key};
use crate::assertion::Assertion;
use crate::error::HeaderError;
use crate::headers::Headers;
use crate::key::PublicKey;

pub(super) const TYPE: &str = "serial";

/// A checked `serial`.
///
/// Where its authority is not the brand, the model must name that authority: [`Model::serial_authority`]
/// tells.
///
/// ```
/// use snap_assertions::types::Serial;
///
/// let assertion = snap_assertions::decode(include_bytes!("../../tests/vectors/serial.assert"))?;
/// let serial = Serial::try_from(&assertion)?;
/// assert_eq!((serial.brand_id(), serial.model(), serial.serial()), ("brand-acme", "edge-box", "EB2-0653"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`Model::serial_authority`]: super::Model::serial_authority
#[derive(Clone, Debug)]
pub struct Serial<'a> {
    brand_id: &'a str,
    model: &'a str,
    serial: &'a str,
    device_key: PublicKey,
    timestamp: Timestamp,
}

impl<'a> Serial<'a> {
    /// Checks the headers of a serial.
    ///
    /// # Errors
    /// The first header that breaks a rule.
    pub fn check(headers: &'a Headers) -> Result<Self, HeaderError> {
        let fields = fields_of(headers, TYPE)?;
        let brand_id = fields.matching("brand-id", ACCOUNT_ID)?;
        let model = model_name(fields)?;
        let device_key = public_key(fields, "device-key")?;
        check_key_id(fields, "device-key-sha3-384", &device_key, "device-key")?;
        Ok(Self {
            brand_id,
            model,
            serial: fields.str("serial")?,
            device_key,
            timestamp: fields.timestamp("timestamp")?,
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

    /// The serial, unique within the model.
    pub fn serial(&self) -> &'a str {
        self.serial
    }

    /// The key that snapd made on the device.
    pub fn device_key(&self) -> &PublicKey {
        &self.device_key
    }

    /// When the serial was issued.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }
}

impl<'a> TryFrom<&'a Assertion> for Serial<'a> {
    type Error = HeaderError;

    fn try_from(assertion: &'a Assertion) -> Result<Self, HeaderError> {
        Self::check(assertion.headers())
    }
}
