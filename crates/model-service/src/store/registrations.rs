//! The log of registrations.

use rusqlite::{Connection, params};

/// How a registration ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) time: i64,
    pub(crate) address: String,
    pub(crate) brand: String,
    pub(crate) model: String,
    pub(crate) serial: String,
    pub(crate) device: String,
    /// `issued`, `repeated` or the code of a refusal.
    pub(crate) outcome: &'static str,
    pub(crate) reason: String,
}

/// Records an entry and forgets all but the newest `most`.
pub(crate) fn log(connection: &Connection, entry: &Entry, most: i64) -> rusqlite::Result<()> {
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
        .execute([connection.last_insert_rowid() - most])?;
    Ok(())
}

/// An entry as the page lists it.
pub(crate) struct EntryRow {
    pub(crate) id: i64,
    pub(crate) time: i64,
    pub(crate) address: String,
    pub(crate) brand: String,
    pub(crate) model: String,
    pub(crate) serial: String,
    pub(crate) device: String,
    pub(crate) outcome: String,
    pub(crate) reason: String,
}

/// The newest entries below the id `before`.
pub(crate) fn recent(connection: &Connection, before: i64, most: u32) -> rusqlite::Result<Vec<EntryRow>> {
    connection
        .prepare_cached("SELECT * FROM registrations WHERE id < ?1 ORDER BY id DESC LIMIT ?2")?
        .query_map(params![before, most], |row| {
            Ok(EntryRow {
                id: row.get("id")?,
                time: row.get("time")?,
                address: row.get("address")?,
                brand: row.get("brand")?,
                model: row.get("model")?,
                serial: row.get("serial")?,
                device: row.get("device")?,
                outcome: row.get("outcome")?,
                reason: row.get("reason")?,
            })
        })?
        .collect()
}
