//! The log of registrations in SQLite.

use rusqlite::{Connection, params};

use super::database::SqliteStore;
use crate::store::{LogEntry, StoreError};

impl SqliteStore {
    pub(in crate::store) fn log_registration(&self, entry: LogEntry, limit: i64) -> Result<(), StoreError> {
        self.write_blocking(move |connection, _| append(connection, &entry, limit))
    }
}

pub(super) fn append(connection: &Connection, entry: &LogEntry, limit: i64) -> rusqlite::Result<()> {
    let class = entry.class();
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
        let mut statement = database
            .prepare("SELECT outcome FROM registrations ORDER BY id DESC")
            .unwrap();
        let outcomes = statement.query_map([], |row| row.get(0)).unwrap();
        let outcomes: Vec<String> = outcomes.map(Result::unwrap).collect();
        let expected = ["model-unknown", "model-unknown", "repeated", "issued", "issued"];
        assert_eq!(outcomes, expected);
    }
}
