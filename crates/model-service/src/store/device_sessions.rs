//! What sessions of devices need: the key of the sessions, and the state of a serial.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::{Backend, SerialNumber, Store, StoreError};

/// The bytes of the key.
const KEY_LENGTH: usize = 32;

/// What is known of a serial that a device shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SerialState {
    /// The device with this device key has it.
    Current,
    /// No assertion for it was issued here.
    NotIssued,
    /// It was released, or issued again for another device key.
    Replaced,
    /// The hardware identity of the device is blocked.
    Blocked,
}

/// What a backend knows of a serial.
#[derive(Default)]
pub(super) struct SerialRow {
    /// The device that has it.
    pub(super) device: Option<String>,
    /// The device key of the last assertion for it.
    pub(super) device_key: Option<String>,
    /// The hardware identity of `device` is blocked.
    pub(super) blocked: bool,
}

impl SerialRow {
    fn state(self, device_key: &str) -> SerialState {
        match (self.device, self.device_key) {
            (_, None) => SerialState::NotIssued,
            (Some(_), Some(last)) if last == device_key => match self.blocked {
                true => SerialState::Blocked,
                false => SerialState::Current,
            },
            _ => SerialState::Replaced,
        }
    }
}

impl Store {
    /// The key that authenticates sessions, the same for all replicas and after a restart; made by
    /// the first call. Blocks the calling thread.
    pub(crate) fn session_key(&self) -> Result<[u8; KEY_LENGTH], StoreError> {
        let mut random = [0; KEY_LENGTH];
        rand::fill(&mut random).map_err(|_| StoreError::Interrupted)?;
        let random = BASE64_URL_SAFE_NO_PAD.encode(random);
        let stored = match &self.0 {
            Backend::Sqlite(store) => store.session_key(random),
            Backend::Postgres(store) => store.session_key(random),
        }?;
        let key = BASE64_URL_SAFE_NO_PAD.decode(stored).ok();
        key.and_then(|key| key.try_into().ok())
            .ok_or_else(|| StoreError::Failed("the key in session_key is damaged".to_owned()))
    }

    /// The state of a serial for a device with the device key `device_key`; blocks the calling
    /// thread.
    pub(crate) fn serial_state(
        &self,
        number: &SerialNumber,
        device_key: &str,
    ) -> Result<SerialState, StoreError> {
        let row = match &self.0 {
            Backend::Sqlite(store) => store.serial_row(number),
            Backend::Postgres(store) => store.serial_row(number),
        }?;
        Ok(row.state(device_key))
    }
}
