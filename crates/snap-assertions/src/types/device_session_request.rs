//! `device-session-request`: a device's request for a session, signed with the device key.

use jiff::Timestamp;

use super::common::fields_of;
use super::rules::model_name;
use crate::assertion::Assertion;
use crate::fields::HeaderError;
use crate::headers::Headers;

pub(super) const TYPE: &str = "device-session-request";

/// A checked `device-session-request`. As snapd does, it ignores other headers and the body.
///
/// It does not contain the device key. [`DeviceSession::verify`] checks it with the serial, which
/// does.
///
/// [`DeviceSession::verify`]: crate::DeviceSession::verify
#[derive(Clone, Debug)]
pub struct DeviceSessionRequest<'a> {
    brand_id: &'a str,
    model: &'a str,
    serial: &'a str,
    nonce: &'a str,
    timestamp: Timestamp,
}

impl<'a> DeviceSessionRequest<'a> {
    /// Checks the headers of a device-session-request (`assembleDeviceSessionRequest` in snapd's
    /// `asserts/serial_asserts.go`).
    ///
    /// # Errors
    /// If a header breaks a rule. The error names the first one.
    pub fn check(headers: &'a Headers) -> Result<Self, HeaderError> {
        let fields = fields_of(headers, TYPE)?;
        Ok(Self {
            brand_id: fields.primary_key("brand-id")?,
            model: model_name(fields)?,
            serial: fields.primary_key("serial")?,
            nonce: fields.str("nonce")?,
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

    /// The serial number of the device.
    pub fn serial(&self) -> &'a str {
        self.serial
    }

    /// The nonce of the service that gives sessions.
    pub fn nonce(&self) -> &'a str {
        self.nonce
    }

    /// When the device made the request, by its own clock.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }
}

impl<'a> TryFrom<&'a Assertion> for DeviceSessionRequest<'a> {
    type Error = HeaderError;

    fn try_from(assertion: &'a Assertion) -> Result<Self, HeaderError> {
        Self::check(assertion.headers())
    }
}
