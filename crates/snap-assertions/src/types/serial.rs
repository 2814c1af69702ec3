//! `serial`: the serial number that a brand gives to a device and its key.

use jiff::Timestamp;

use super::common::{check_key_id, fields_of, public_key};
use super::rules::{ACCOUNT_ID, model_name};
use crate::assertion::Assertion;
use crate::fields::HeaderError;
use crate::headers::Headers;
use crate::key::PublicKey;

pub(super) const TYPE: &str = "serial";

/// A checked `serial`.
///
/// If its authority is not the brand, [`Model::serial_authority`] must contain that authority.
///
/// ```
/// use snap_assertions::types::Serial;
///
/// let assertion = snap_assertions::decode(include_bytes!("../../tests/vectors/serial.assert"))?;
/// let serial = Serial::try_from(&assertion)?;
/// assert_eq!((serial.brand_id(), serial.model()), ("brand-acme", "edge-box"));
/// assert_eq!(serial.serial(), "EB2-0653");
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
    /// If a header breaks a rule. The error names the first one.
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

    /// The serial number, unique for the model.
    pub fn serial(&self) -> &'a str {
        self.serial
    }

    /// The key that snapd generated on the device.
    pub fn device_key(&self) -> &PublicKey {
        &self.device_key
    }

    /// When the serial assertion was issued.
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
