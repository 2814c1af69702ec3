//! Serials: which device has which, and every assertion that was signed.

use super::{Backend, Event, LogEntry, Store, StoreError};

/// Begins the name of a device with a hardware identity.
pub(super) const IDENTITY_DEVICE: &str = "hardware-id-key ";

/// A serial, unique within its model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SerialNumber {
    pub(crate) brand: String,
    pub(crate) model: String,
    pub(crate) serial: String,
}

/// The device and the serial for which an [`Assignment`] is looked up.
#[derive(Clone, Debug)]
pub(crate) struct AssignmentQuery {
    pub(crate) brand: String,
    pub(crate) model: String,
    pub(crate) device: String,
    /// The serial that the device gets if it has none.
    pub(crate) wanted: Option<String>,
    /// The id of the device key.
    pub(crate) device_key: String,
    /// The id of the key that signs.
    pub(crate) sign_key: String,
}

/// What is known before a device gets a serial.
#[derive(Debug, Default)]
pub(crate) struct Assignment {
    /// The serial that the device has in the model.
    pub(crate) serial: Option<String>,
    /// The device that has the wanted serial, if this device has no serial.
    pub(crate) holder: Option<String>,
    /// The last assertion for the serial of the device, else for the wanted one.
    pub(crate) last: Option<LastIssued>,
}

/// The last assertion that was issued for a serial.
#[derive(Debug)]
pub(crate) struct LastIssued {
    pub(crate) revision: u64,
    /// The assertion, if it is for the device key and signed with the key of the query.
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
        identity_of(&self.device)
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

/// The digest of the key's DER bytes, if the device has a hardware identity.
pub(crate) fn identity_of(device: &str) -> Option<&str> {
    device.strip_prefix(IDENTITY_DEVICE)
}

impl Store {
    /// The device that has a serial.
    pub(crate) fn find_holder(&self, number: &SerialNumber) -> Result<Option<String>, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.find_holder(number),
            Backend::Postgres(store) => store.find_holder(number),
        }
    }

    /// What is known before a device gets a serial.
    pub(crate) fn find_assignment(&self, query: AssignmentQuery) -> Result<Assignment, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.find_assignment(query),
            Backend::Postgres(store) => store.find_assignment(query),
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
