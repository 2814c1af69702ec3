//! Serials in SQLite.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::database::SqliteStore;
use super::log;
use super::withdrawal::is_blocked;
use crate::store::{
    Assignment, AssignmentQuery, IssueOutcome, IssuedSerial, LastIssued, LogEntry, SerialNumber, StoreError,
};

impl SqliteStore {
    pub(in crate::store) fn find_holder(&self, number: &SerialNumber) -> Result<Option<String>, StoreError> {
        self.read_blocking(|connection| holder(connection, number))
    }

    pub(in crate::store) fn find_assignment(&self, query: AssignmentQuery) -> Result<Assignment, StoreError> {
        self.read_blocking(|connection| assignment(connection, query))
    }

    pub(in crate::store) fn record_issue(
        &self,
        issued: IssuedSerial,
        entry: LogEntry,
        log_limit: i64,
    ) -> Result<IssueOutcome, StoreError> {
        let event = issued.event();
        self.write_blocking(move |connection, events| {
            let outcome = record(connection, &issued, entry.time)?;
            if outcome == IssueOutcome::Recorded {
                log::append(connection, &entry, log_limit)?;
                events.push(event);
            }
            Ok(outcome)
        })
    }
}

pub(super) fn serial_of(
    connection: &Connection,
    brand: &str,
    model: &str,
    device: &str,
) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT serial FROM serials WHERE brand = ?1 AND model = ?2 AND device = ?3")?
        .query_row([brand, model, device], |row| row.get(0))
        .optional()
}

pub(super) fn holder(connection: &Connection, number: &SerialNumber) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT device FROM serials WHERE brand = ?1 AND model = ?2 AND serial = ?3")?
        .query_row([&number.brand, &number.model, &number.serial], |row| row.get(0))
        .optional()
}

fn assignment(connection: &Connection, query: AssignmentQuery) -> rusqlite::Result<Assignment> {
    let AssignmentQuery {
        brand,
        model,
        device,
        wanted,
        device_key,
        sign_key,
    } = query;
    let assigned = serial_of(connection, &brand, &model, &device)?;
    let Some(serial) = assigned.clone().or(wanted) else {
        return Ok(Assignment::default());
    };
    let number = SerialNumber { brand, model, serial };
    Ok(Assignment {
        holder: match &assigned {
            Some(_) => None,
            None => holder(connection, &number)?,
        },
        last: last_issued(connection, &number, &device_key, &sign_key)?,
        serial: assigned,
    })
}

fn last_issued(
    connection: &Connection,
    number: &SerialNumber,
    device_key: &str,
    sign_key: &str,
) -> rusqlite::Result<Option<LastIssued>> {
    connection
        .prepare_cached(
            "SELECT revision, iif(device_key = ?4 AND sign_key = ?5, text, NULL) FROM issued
             WHERE brand = ?1 AND model = ?2 AND serial = ?3 ORDER BY revision DESC LIMIT 1",
        )?
        .query_row(
            params![number.brand, number.model, number.serial, device_key, sign_key],
            |row| {
                Ok(LastIssued {
                    revision: row.get(0)?,
                    assertion: row.get(1)?,
                })
            },
        )
        .optional()
}

/// Takes a serial from its device. The assertions that were issued for it stay, so that the next
/// one has a higher revision.
pub(super) fn delete(
    connection: &Connection,
    brand: &str,
    model: &str,
    serial: &str,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM serials WHERE brand = ?1 AND model = ?2 AND serial = ?3")?
        .execute([brand, model, serial])
        .map(drop)
}

/// All serials of a device.
pub(super) fn of_device(connection: &Connection, device: &str) -> rusqlite::Result<Vec<SerialNumber>> {
    connection
        .prepare_cached("SELECT brand, model, serial FROM serials WHERE device = ?1")?
        .query_map([device], |row| {
            Ok(SerialNumber {
                brand: row.get(0)?,
                model: row.get(1)?,
                serial: row.get(2)?,
            })
        })?
        .collect()
}

fn record(connection: &Connection, issued: &IssuedSerial, time: i64) -> rusqlite::Result<IssueOutcome> {
    if let Some(key_digest) = issued.identity()
        && is_blocked(connection, key_digest)?
    {
        return Ok(IssueOutcome::Blocked);
    }
    let SerialNumber { brand, model, serial } = &issued.number;
    // Before anything is inserted: a conflict keeps nothing.
    if is_taken(connection, &issued.number, issued.revision)? {
        return Ok(IssueOutcome::Conflict);
    }
    connection
        .prepare_cached("INSERT OR IGNORE INTO serials VALUES (?1, ?2, ?3, ?4)")?
        .execute([brand, model, serial, &issued.device])?;
    if serial_of(connection, brand, model, &issued.device)?.as_ref() != Some(serial) {
        return Ok(IssueOutcome::Conflict);
    }
    connection
        .prepare_cached(
            "INSERT INTO issued (brand, model, serial, revision, device_key, sign_key, text, time)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            brand,
            model,
            serial,
            issued.revision,
            issued.device_key,
            issued.sign_key,
            issued.assertion,
            time
        ])?;
    Ok(IssueOutcome::Recorded)
}

/// Returns true if an assertion with this revision was issued for the serial.
fn is_taken(connection: &Connection, number: &SerialNumber, revision: u64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM issued WHERE brand = ?1 AND model = ?2 AND serial = ?3 AND revision = ?4",
        )?
        .exists(params![number.brand, number.model, number.serial, revision])
}

#[cfg(test)]
mod tests {
    use super::super::database::in_memory;
    use super::*;

    fn issued(serial: &str, device: &str, revision: u64) -> IssuedSerial {
        IssuedSerial {
            number: SerialNumber {
                brand: "brand".to_owned(),
                model: "model".to_owned(),
                serial: serial.to_owned(),
            },
            device: device.to_owned(),
            revision,
            device_key: "key".to_owned(),
            sign_key: "signer".to_owned(),
            assertion: "assertion".to_owned(),
        }
    }

    #[test]
    fn the_second_of_two_concurrent_issues_is_a_conflict() {
        let connection = in_memory();
        let mut recorded = Vec::new();
        for attempt in [
            issued("1", "a", 0), // the first
            issued("1", "b", 0), // another device, the same serial
            issued("2", "a", 0), // the same device, another serial
            issued("1", "a", 0), // the same revision again
            issued("1", "a", 1),
            issued("2", "b", 0),
        ] {
            recorded.push(record(&connection, &attempt, 0).unwrap() == IssueOutcome::Recorded);
        }
        assert_eq!(recorded, [true, false, false, false, true, true]);
    }

    #[test]
    fn a_conflict_over_the_revision_of_a_released_serial_keeps_nothing() {
        let connection = in_memory();
        let mut attempt = issued("1", "a", 0);
        assert_eq!(record(&connection, &attempt, 0).unwrap(), IssueOutcome::Recorded);
        delete(&connection, "brand", "model", "1").unwrap();
        attempt.device = "b".to_owned();
        assert_eq!(record(&connection, &attempt, 0).unwrap(), IssueOutcome::Conflict);
        assert_eq!(holder(&connection, &attempt.number).unwrap(), None);
        attempt.revision = 1;
        assert_eq!(record(&connection, &attempt, 0).unwrap(), IssueOutcome::Recorded);
    }
}
