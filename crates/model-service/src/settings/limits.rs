//! The table `[limits]`.

use serde::Deserialize;

use super::SettingsError;

/// Limits that keep one client, or many, from exhausting the service.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Limits {
    /// The largest body of a request for a serial, in bytes.
    pub(crate) serial_body_bytes: u64,
    /// The largest body of an import, in bytes.
    pub(crate) import_body_bytes: u64,
    /// Requests of one address in a minute; 0 for no limit.
    pub(crate) requests_per_minute: u32,
    /// Applies the limit to loopback addresses too, which may be those of a proxy for all devices.
    pub(crate) limit_loopback: bool,
    /// Open nonces.
    pub(crate) open_nonces: u32,
    /// Concurrent connections.
    pub(crate) connections: u32,
    /// Concurrent connections of one address.
    pub(crate) connections_per_address: u32,
    /// The longest time that a connection is open, in seconds.
    pub(crate) connection_seconds: u32,
    /// Concurrent imports.
    pub(crate) imports: u32,
    /// The longest time for a request, or for a pause in an import, in seconds.
    pub(crate) request_seconds: u32,
    /// The longest time for a request and the work on it, except for an import, in seconds.
    pub(crate) answer_seconds: u32,
    /// The longest time that a client may read nothing of a response, in seconds.
    pub(crate) write_seconds: u32,
    /// The longest time for a signature by an HSM, GnuPG or a key manager, in seconds.
    pub(crate) signature_seconds: u32,
    /// The longest time that a request of a device waits for the database or a serial key, in
    /// seconds; 0 for no waiting.
    pub(crate) wait_seconds: u32,
    /// Requests of devices that wait at a time.
    pub(crate) waiting_requests: u32,
    /// Entries of each class (issued, repeated, refused) that the log of registrations keeps.
    pub(crate) logged_registrations: u32,
    /// The size of a file of the ledger after which the next one begins, in bytes.
    pub(crate) ledger_file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            serial_body_bytes: 256 * 1024,
            import_body_bytes: 4 * 1024 * 1024 * 1024,
            requests_per_minute: 600,
            limit_loopback: false,
            open_nonces: 100_000,
            connections: 512,
            connections_per_address: 128,
            connection_seconds: 3600,
            imports: 4,
            request_seconds: 30,
            answer_seconds: 60,
            write_seconds: 30,
            signature_seconds: 10,
            wait_seconds: 20,
            waiting_requests: 256,
            logged_registrations: 100_000,
            ledger_file_bytes: 64 * 1024 * 1024,
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        check_at_least_1(&[
            ("connections", self.connections.into()),
            ("connections-per-address", self.connections_per_address.into()),
            ("connection-seconds", self.connection_seconds.into()),
            ("imports", self.imports.into()),
            ("open-nonces", self.open_nonces.into()),
            ("request-seconds", self.request_seconds.into()),
            ("answer-seconds", self.answer_seconds.into()),
            ("write-seconds", self.write_seconds.into()),
            ("signature-seconds", self.signature_seconds.into()),
            ("ledger-file-bytes", self.ledger_file_bytes),
        ])
    }
}

/// Checks that no setting of these is 0.
pub(super) fn check_at_least_1(settings: &[(&'static str, u64)]) -> Result<(), SettingsError> {
    match settings.iter().find(|(_, value)| *value == 0) {
        Some((name, _)) => Err(SettingsError::ZeroLimit { name }),
        None => Ok(()),
    }
}
