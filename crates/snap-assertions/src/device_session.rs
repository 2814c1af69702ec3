//! A device that shows which one it is: by its serial, its model and a nonce that its device key
//! signed.

use jiff::{SignedDuration, Timestamp};
use miette::Diagnostic;
use thiserror::Error;

use crate::assertion::{Assertion, VerifyError};
use crate::fields::HeaderError;
use crate::types::{AccountKey, DeviceSessionRequest, Model, Serial};

/// The largest difference between the time of a request and the verifier's clock. The nonce shows
/// that a request is new; devices without a battery for their clock may be minutes wrong.
const TIME_TOLERANCE: SignedDuration = SignedDuration::from_hours(1);

/// Why a device-session-request is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[non_exhaustive]
pub enum DeviceSessionError {
    /// The device-session-request breaks a rule of its type.
    #[error("the device-session-request is not valid: {0}")]
    #[diagnostic(
        code("session-request"),
        help("Check the program that made the request; snapd's requests are valid")
    )]
    Request(HeaderError),
    /// The serial breaks a rule of its type.
    #[error("the serial assertion is not valid: {0}")]
    #[diagnostic(code("session-serial"), help("Register the device again to get a new serial"))]
    Serial(HeaderError),
    /// The model breaks a rule of its type.
    #[error("the model assertion is not valid: {0}")]
    #[diagnostic(
        code("session-model"),
        help("Sign the model assertion again, and build the image with it")
    )]
    Model(HeaderError),
    /// The three assertions are not about the same device.
    #[error("the request has the {name} {requested:?}, but the {kind} assertion has {found:?}")]
    #[diagnostic(
        code("session-device"),
        help("Send the serial and the model of the device that signs the request")
    )]
    OtherDevice {
        /// The header that differs.
        name: &'static str,
        /// Its value in the request.
        requested: String,
        /// The type of the other assertion.
        kind: &'static str,
        /// Its value there.
        found: String,
    },
    /// The device key in the serial did not sign the request.
    #[error("the device-session-request is not signed by the device key in the serial: {0}")]
    #[diagnostic(
        code("session-request-signature"),
        help("Sign the request with the device key that the serial contains")
    )]
    RequestSignature(VerifyError),
    /// The account may not sign serials of the model.
    #[error(
        "the serial is by {account}, which is neither the brand of the model nor in its serial-authority"
    )]
    #[diagnostic(
        code("session-serial-authority"),
        help("Register the device with a model service of its brand, or add the account to the model")
    )]
    SerialAuthority {
        /// The header `authority-id` of the serial.
        account: String,
    },
    /// No trusted account-key is that of the signature.
    #[error("the key {key}, which signed the {kind}, is not trusted")]
    #[diagnostic(
        code("session-key-untrusted"),
        help("Add its account-key to the trusted ones if the brand uses the key")
    )]
    Untrusted {
        /// `serial` or `model`.
        kind: &'static str,
        /// The id of the key.
        key: String,
    },
    /// The signature of the serial or the model is not accepted.
    #[error("the signature of the {kind} is not accepted: {reason}")]
    #[diagnostic(
        code("session-signature"),
        help("Check the account-key of the key that signed it")
    )]
    Signature {
        /// `serial` or `model`.
        kind: &'static str,
        /// Why.
        reason: VerifyError,
    },
    /// The request was made long ago or in the future.
    #[error("the time of the device-session-request is {time}, and now it is {now}")]
    #[diagnostic(
        code("session-time"),
        help("Set the clock of the device; it may differ by an hour")
    )]
    Time {
        /// The header `timestamp`.
        time: Timestamp,
        /// The time of the verifier.
        now: Timestamp,
    },
}

/// A device that has proved that it has the device key of a serial.
///
/// A store gives such a device a session; any other service of the brand can do the same.
#[derive(Clone, Debug)]
pub struct DeviceSession<'a> {
    request: DeviceSessionRequest<'a>,
    serial: Serial<'a>,
}

impl<'a> DeviceSession<'a> {
    /// Verifies the three assertions that snapd sends for a session. `trusted` finds a trusted
    /// account-key by its id.
    ///
    /// The brand signed the model. The brand or an account in `serial-authority` of the model signed
    /// the serial. All three assertions are about the same device, whose device key signed the
    /// request, at most an hour before or after `now`.
    ///
    /// The caller checks that [`nonce`](Self::nonce) is one that it gave out, that it has not expired,
    /// and that no other request had it.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify<'k>(
        request: &'a Assertion,
        serial: &'a Assertion,
        model: &'a Assertion,
        trusted: impl Fn(&str) -> Option<&'k AccountKey>,
        now: Timestamp,
    ) -> Result<Self, DeviceSessionError> {
        type E = DeviceSessionError;
        let session = Self {
            request: DeviceSessionRequest::try_from(request).map_err(E::Request)?,
            serial: Serial::try_from(serial).map_err(E::Serial)?,
        };
        let model_view = Model::try_from(model).map_err(E::Model)?;
        session.check_device(&model_view)?;
        let account = serial.authority_id().unwrap_or_default();
        if account != model_view.brand_id() && !model_view.serial_authority().contains(&account) {
            let account = account.to_owned();
            return Err(E::SerialAuthority { account });
        }
        let time = session.request.timestamp();
        if time.duration_since(now).abs() > TIME_TOLERANCE {
            return Err(E::Time { time, now });
        }
        for (kind, assertion) in [("model", model), ("serial", serial)] {
            let key = assertion.sign_key_id();
            let trusted = trusted(key).ok_or_else(|| E::Untrusted {
                kind,
                key: key.to_owned(),
            })?;
            let verified = trusted.verify(assertion, now);
            verified.map_err(|reason| E::Signature { kind, reason })?;
        }
        let signed = request.verify(session.serial.device_key());
        signed.map_err(E::RequestSignature)?;
        Ok(session)
    }

    /// Checks that request, serial and model are about the same device.
    fn check_device(&self, model: &Model<'_>) -> Result<(), DeviceSessionError> {
        let Self { request, serial } = self;
        for (name, kind, requested, found) in [
            ("brand-id", "serial", request.brand_id(), serial.brand_id()),
            ("model", "serial", request.model(), serial.model()),
            ("serial", "serial", request.serial(), serial.serial()),
            ("brand-id", "model", request.brand_id(), model.brand_id()),
            ("model", "model", request.model(), model.model()),
        ] {
            if requested != found {
                return Err(DeviceSessionError::OtherDevice {
                    name,
                    requested: requested.to_owned(),
                    kind,
                    found: found.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The nonce that the device signed.
    pub fn nonce(&self) -> &'a str {
        self.request.nonce()
    }

    /// The serial of the device.
    pub fn serial(&self) -> &Serial<'a> {
        &self.serial
    }
}
