//! Serials: which device has which, and every assertion that was signed.

use super::{Backend, Event, LogEntry, Store, StoreError};

/// Begins the name of a device with a hardware identity.
const IDENTITY_DEVICE: &str = "hardware-id-key ";

/// A serial, unique within its model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SerialNumber {
    pub(crate) brand: String,
    pub(crate) model: String,
    pub(crate) serial: String,
}

/// The last assertion that was issued for a serial.
pub(crate) struct LastIssued {
    pub(crate) revision: u64,
    /// The assertion, if it is for the given device key and signed with the given key.
    pub(crate) assertion: Option<String>,
}

/// A signed serial assertion, about to be sent to the device.
pub(crate) struct IssuedSerial {
    pub(crate) number: SerialNumber,
    pub(crate) device: String,
    pub(crate) revision: u64,
    /// The id of the device key.
    pub(crate) device_key: String,
    /// The id of the key that signed it.
    pub(crate) sign_key: String,
    pub(crate) assertion: String,
}

impl IssuedSerial {
    /// What the ledger records.
    pub(super) fn event(&self) -> Event {
        Event::SerialIssued {
            brand: self.number.brand.clone(),
            model: self.number.model.clone(),
            serial: self.number.serial.clone(),
            revision: self.revision,
            device: self.device.clone(),
            device_key: self.device_key.clone(),
            sign_key: self.sign_key.clone(),
            assertion: self.assertion.clone(),
        }
    }

    /// The digest of the key's DER bytes of the device's hardware identity, if it has one.
    pub(super) fn identity(&self) -> Option<&str> {
        self.device.strip_prefix(IDENTITY_DEVICE)
    }
}

/// The result of recording an issued serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IssueOutcome {
    Recorded,
    /// A concurrent request won: the serial went to another device, the device got another serial,
    /// or the revision is taken. Nothing was recorded.
    Conflict,
    /// The hardware identity of the device was blocked. Nothing was recorded.
    Blocked,
}

/// The name of the device with a hardware identity, by the digest of the key's DER bytes.
pub(crate) fn identity_device(key_digest: &str) -> String {
    format!("{IDENTITY_DEVICE}{key_digest}")
}

impl Store {
    /// The device that has a serial.
    pub(crate) fn find_holder(&self, number: &SerialNumber) -> Result<Option<String>, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.find_holder(number),
            Backend::Postgres(store) => store.find_holder(number),
        }
    }

    /// The serial that `device` has in a model.
    pub(crate) fn find_serial(
        &self,
        brand: &str,
        model: &str,
        device: &str,
    ) -> Result<Option<String>, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.find_serial(brand, model, device),
            Backend::Postgres(store) => store.find_serial(brand, model, device),
        }
    }

    /// The last assertion that was issued for a serial. It has the text only if it is for
    /// `device_key` and signed with `sign_key`.
    pub(crate) fn find_last_issued(
        &self,
        number: &SerialNumber,
        device_key: &str,
        sign_key: &str,
    ) -> Result<Option<LastIssued>, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.find_last_issued(number, device_key, sign_key),
            Backend::Postgres(store) => store.find_last_issued(number, device_key, sign_key),
        }
    }

    /// Records an issued serial and its log entry in one transaction and in the ledger, unless
    /// there is a conflict or the identity is blocked.
    pub(crate) fn record_issue(
        &self,
        issued: IssuedSerial,
        entry: LogEntry,
        log_limit: i64,
    ) -> Result<IssueOutcome, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.record_issue(issued, entry, log_limit),
            Backend::Postgres(store) => store.record_issue(issued, entry, log_limit),
        }
    }
}
