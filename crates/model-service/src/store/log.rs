//! The log of registrations.

use rusqlite::{Connection, params};

use super::database::Store;
use super::error::StoreError;

/// A registration and its outcome.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogEntry {
    /// Seconds since the epoch.
    pub(crate) time: i64,
    pub(crate) address: String,
    pub(crate) brand: String,
    pub(crate) model: String,
    pub(crate) serial: String,
    /// The key digest that the request names, or the id of the device key.
    pub(crate) device: String,
    /// `issued`, `repeated` or the code of an error.
    pub(crate) outcome: String,
    /// Cause and advice of an error, otherwise empty.
    pub(crate) reason: String,
}

/// A log entry in the list on the page.
pub(crate) struct LogRow {
    pub(crate) id: i64,
    pub(crate) entry: LogEntry,
}

impl Store {
    /// Adds an entry to the log and deletes all but the newest `limit`.
    pub(crate) fn log_registration(&self, entry: LogEntry, limit: i64) -> Result<(), StoreError> {
        self.write_blocking(move |connection| append(connection, &entry, limit))
    }

    /// Lists the newest entries with an id below `before`, at most `limit`.
    pub(crate) async fn recent_registrations(
        &self,
        before: i64,
        limit: u32,
    ) -> Result<Vec<LogRow>, StoreError> {
        self.read(move |connection| recent(connection, before, limit))
            .await
    }
}

pub(super) fn append(connection: &Connection, entry: &LogEntry, limit: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO registrations (time, address, brand, model, serial, device, outcome, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            entry.time,
            entry.address,
            entry.brand,
            entry.model,
            entry.serial,
            entry.device,
            entry.outcome,
            entry.reason
        ])?;
    connection
        .prepare_cached("DELETE FROM registrations WHERE id <= ?1")?
        .execute([connection.last_insert_rowid() - limit])?;
    Ok(())
}

fn recent(connection: &Connection, before: i64, limit: u32) -> rusqlite::Result<Vec<LogRow>> {
    connection
        .prepare_cached("SELECT * FROM registrations WHERE id < ?1 ORDER BY id DESC LIMIT ?2")?
        .query_map(params![before, limit], |row| {
            Ok(LogRow {
                id: row.get("id")?,
                entry: LogEntry {
                    time: row.get("time")?,
                    address: row.get("address")?,
                    brand: row.get("brand")?,
                    model: row.get("model")?,
                    serial: row.get("serial")?,
                    device: row.get("device")?,
                    outcome: row.get("outcome")?,
                    reason: row.get("reason")?,
                },
            })
        })?
        .collect()
}
