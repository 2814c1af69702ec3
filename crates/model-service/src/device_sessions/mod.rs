//! Sessions: a device with a serial shows which one it is, and gets a macaroon for a limited time.
//!
//! snapd does this with its store (`store/auth.go`). A session says which device has it and
//! when it ends. Whether the device is blocked since is looked up in the database each time.

mod error;
mod macaroon;

use jiff::{SignedDuration, Timestamp};
use libmacaroon::MacaroonKey;
use serde::Serialize;
use snap_assertions::{Assertion, DeviceSession, decode};
use utoipa::ToSchema;

use crate::message::shortened;
use crate::registration::Registrar;
use crate::store::{NonceKind, NonceState, SerialNumber, SerialState, Store, StoreError};
use crate::waiting::Wait;
pub(crate) use error::SessionError;

/// The assertions that a device sends for a session, encoded.
#[derive(Clone, Copy)]
pub(crate) struct SessionRequest<'a> {
    pub(crate) request: &'a str,
    pub(crate) serial: &'a str,
    pub(crate) model: &'a str,
}

/// A device that was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct VerifiedDevice {
    brand_id: String,
    model: String,
    serial: String,
    /// The id of the device key
    device_key_sha3_384: String,
    /// When the session ends, in RFC 3339; missing for a device without a session
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

impl VerifiedDevice {
    /// The brand, the model and the serial, for the log.
    pub(crate) fn name(&self) -> String {
        shortened(&format!("{}/{}/{}", self.brand_id, self.model, self.serial))
    }
}

/// Gives sessions, and verifies them.
pub(crate) struct DeviceSessions {
    store: Store,
    key: MacaroonKey,
    length: SignedDuration,
}

impl DeviceSessions {
    /// Reads the key that all replicas have. A session is valid for `seconds`. Blocks the calling
    /// thread.
    pub(crate) fn new(store: Store, seconds: u32) -> Result<Self, StoreError> {
        Ok(Self {
            key: store.session_key()?.into(),
            store,
            length: SignedDuration::from_secs(seconds.into()),
        })
    }

    /// Makes a session for a device.
    pub(crate) fn make(&self, device: &VerifiedDevice) -> Result<String, SessionError> {
        let expires = Timestamp::now().saturating_add(self.length);
        macaroon::make(&self.key, device, expires.unwrap_or(Timestamp::MAX))
    }

    /// Verifies a device by its serial and a nonce that its device key signed; blocks the calling
    /// thread.
    ///
    /// What needs no database is checked first. Then the nonce is consumed, whatever the outcome of
    /// the rest.
    pub(crate) fn verify_device(
        &self,
        registrar: &Registrar,
        given: SessionRequest<'_>,
        wait: &Wait,
    ) -> Result<VerifiedDevice, SessionError> {
        let request = assertion("device-session-request", given.request)?;
        let serial = assertion("serial-assertion", given.serial)?;
        let model = assertion("model-assertion", given.model)?;
        let trusted = |id: &str| registrar.account_keys.get(id);
        let session = DeviceSession::verify(&request, &serial, &model, trusted, Timestamp::now())?;
        let serial = session.serial();
        let device = VerifiedDevice {
            brand_id: serial.brand_id().to_owned(),
            model: serial.model().to_owned(),
            serial: serial.serial().to_owned(),
            device_key_sha3_384: serial.device_key().id().to_owned(),
            expires: None,
        };
        check_model(registrar, &device)?;
        self.consume_nonce(session.nonce(), wait)?;
        wait.retry(|| self.check_serial(&device))?;
        Ok(device)
    }

    /// Verifies a session, and that the device may still have it; blocks the calling thread.
    pub(crate) fn verify_session(
        &self,
        registrar: &Registrar,
        session: &str,
        wait: &Wait,
    ) -> Result<VerifiedDevice, SessionError> {
        let device = macaroon::verify(&self.key, session, Timestamp::now())?;
        check_model(registrar, &device)?;
        wait.retry(|| self.check_serial(&device))?;
        Ok(device)
    }

    fn consume_nonce(&self, nonce: &str, wait: &Wait) -> Result<(), SessionError> {
        let consume = || self.store.consume_nonce(NonceKind::Session, nonce, wait.attempt);
        match wait.retry(consume)? {
            NonceState::Consumed => Ok(()),
            NonceState::Used => Err(SessionError::NonceUsed),
            NonceState::Expired => Err(SessionError::NonceExpired),
            NonceState::Unknown => Err(SessionError::NonceUnknown),
        }
    }

    /// Checks that the device still has its serial. One that another service of the brand issued is
    /// not known here; its signature was checked.
    fn check_serial(&self, device: &VerifiedDevice) -> Result<(), SessionError> {
        let number = SerialNumber {
            brand: device.brand_id.clone(),
            model: device.model.clone(),
            serial: device.serial.clone(),
        };
        match self.store.serial_state(&number, &device.device_key_sha3_384)? {
            SerialState::Current | SerialState::NotIssued => Ok(()),
            SerialState::Blocked => Err(SessionError::IdentityBlocked),
            SerialState::Replaced => Err(SessionError::SerialReplaced {
                serial: shortened(&number.serial),
            }),
        }
    }
}

fn assertion(name: &'static str, text: &str) -> Result<Assertion, SessionError> {
    decode(text.as_bytes()).map_err(|reason| SessionError::Assertion { name, reason })
}

/// Checks that devices of the model get sessions.
fn check_model(registrar: &Registrar, device: &VerifiedDevice) -> Result<(), SessionError> {
    let (brand, model) = (device.brand_id.as_str(), device.model.as_str());
    let known = registrar.models.find(brand, model);
    let known = known.ok_or_else(|| SessionError::ModelUnknown {
        brand: shortened(brand),
        model: shortened(model),
    })?;
    match known.device_sessions {
        true => Ok(()),
        false => Err(SessionError::Off {
            model: format!("{brand}/{model}"),
        }),
    }
}
