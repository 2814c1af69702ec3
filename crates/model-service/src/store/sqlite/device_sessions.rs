//! Sessions of devices in SQLite.

use rusqlite::{Connection, OptionalExtension as _};

use super::database::SqliteStore;
use super::serials::holder;
use super::withdrawal::is_blocked;
use crate::store::device_sessions::SerialRow;
use crate::store::serials::identity_of;
use crate::store::{SerialNumber, StoreError};

impl SqliteStore {
    /// The stored key of sessions: `random` if it is the first one.
    pub(in crate::store) fn session_key(&self, random: String) -> Result<String, StoreError> {
        // A service whose disk is full can start.
        if let Some(key) = self.read_blocking(session_key)? {
            return Ok(key);
        }
        self.write_blocking(move |connection, _| {
            connection.execute("INSERT OR IGNORE INTO session_key VALUES (1, ?1)", [&random])?;
            // That of another process, if it was faster.
            Ok(session_key(connection)?.unwrap_or(random))
        })
    }

    pub(in crate::store) fn serial_row(&self, number: &SerialNumber) -> Result<SerialRow, StoreError> {
        self.read_blocking(|connection| serial_row(connection, number))
    }
}

fn session_key(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection
        .query_row("SELECT key FROM session_key", [], |row| row.get(0))
        .optional()
}

fn serial_row(connection: &Connection, number: &SerialNumber) -> rusqlite::Result<SerialRow> {
    let device = holder(connection, number)?;
    let blocked = match device.as_deref().and_then(identity_of) {
        Some(key_digest) => is_blocked(connection, key_digest)?,
        None => false,
    };
    let device_key = connection
        .prepare_cached(
            "SELECT device_key FROM issued WHERE brand = ?1 AND model = ?2 AND serial = ?3
             ORDER BY revision DESC LIMIT 1",
        )?
        .query_row([&number.brand, &number.model, &number.serial], |row| row.get(0))
        .optional()?;
    Ok(SerialRow {
        device,
        device_key,
        blocked,
    })
}
