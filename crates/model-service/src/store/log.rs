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
    /// Adds an entry to the log and deletes all but the newest `limit` of its class: issued, repeated
    /// or refused.
    pub(crate) fn log_registration(&self, entry: LogEntry, limit: i64) -> Result<(), StoreError> {
        self.write_blocking(move |connection, _| append(connection, &entry, limit))
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
    let class = class(&entry.outcome);
    let number: i64 = connection
        .prepare_cached("SELECT coalesce(max(number), 0) + 1 FROM registrations WHERE class = ?1")?
        .query_row([class], |row| row.get(0))?;
    connection
        .prepare_cached(
            "INSERT INTO registrations
                 (time, address, brand, model, serial, device, outcome, reason, class, number)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            entry.time,
            entry.address,
            entry.brand,
            entry.model,
            entry.serial,
            entry.device,
            entry.outcome,
            entry.reason,
            class,
            number
        ])?;
    connection
        .prepare_cached("DELETE FROM registrations WHERE class = ?1 AND number <= ?2")?
        .execute([class, number - limit])?;
    Ok(())
}

/// The class of an outcome, as in the schema.
fn class(outcome: &str) -> i64 {
    match outcome {
        "issued" => 0,
        "repeated" => 1,
        _ => 2,
    }
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

#[cfg(test)]
mod tests {
    use super::super::database::in_memory;
    use super::*;

    #[test]
    fn refused_requests_do_not_push_out_issued_ones() {
        let database = in_memory();
        for outcome in ["issued", "issued", "repeated"]
            .into_iter()
            .chain(["model-unknown"; 10])
        {
            let entry = LogEntry {
                outcome: outcome.to_owned(),
                ..LogEntry::default()
            };
            append(&database, &entry, 2).unwrap();
        }
        let rows = recent(&database, i64::MAX, 100).unwrap();
        let outcomes: Vec<_> = rows.iter().map(|row| row.entry.outcome.as_str()).collect();
        let expected = ["model-unknown", "model-unknown", "repeated", "issued", "issued"];
        assert_eq!(outcomes, expected);
    }
}
