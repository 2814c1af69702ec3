//! Serials: which device has which, and every assertion that was signed.

use rusqlite::{Connection, OptionalExtension as _, params};

/// A serial, unique within its model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Number {
    pub(crate) brand: String,
    pub(crate) model: String,
    pub(crate) serial: String,
}

/// The serial that `device` has in a model.
pub(crate) fn number_of(
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

/// The device that has a serial.
pub(crate) fn holder(connection: &Connection, number: &Number) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT device FROM serials WHERE brand = ?1 AND model = ?2 AND serial = ?3")?
        .query_row([&number.brand, &number.model, &number.serial], |row| row.get(0))
        .optional()
}

/// The last assertion issued for a serial: its revision, and its text if it is for `device_key` and by
/// `sign_key`.
pub(crate) fn find_issued(
    connection: &Connection,
    number: &Number,
    device_key: &str,
    sign_key: &str,
) -> rusqlite::Result<Option<(u64, Option<String>)>> {
    connection
        .prepare_cached(
            "SELECT revision, iif(device_key = ?4 AND sign_key = ?5, text, NULL) FROM issued
             WHERE brand = ?1 AND model = ?2 AND serial = ?3 ORDER BY revision DESC LIMIT 1",
        )?
        .query_row(
            params![number.brand, number.model, number.serial, device_key, sign_key],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
}

/// A signed serial about to be handed out.
pub(crate) struct Issue {
    pub(crate) number: Number,
    pub(crate) device: String,
    pub(crate) revision: u64,
    pub(crate) device_key: String,
    pub(crate) sign_key: String,
    /// The assertion.
    pub(crate) text: String,
}

/// Another request was faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conflict;

/// Records an issue, unless the serial went to another device, the device got another serial, or the revision
/// was taken since it was planned; nothing is recorded then.
pub(crate) fn insert(connection: &Connection, issue: &Issue) -> rusqlite::Result<Result<(), Conflict>> {
    let Number { brand, model, serial } = &issue.number;
    connection
        .prepare_cached("INSERT OR IGNORE INTO serials VALUES (?1, ?2, ?3, ?4)")?
        .execute([brand, model, serial, &issue.device])?;
    if number_of(connection, brand, model, &issue.device)?.as_ref() != Some(serial) {
        return Ok(Err(Conflict));
    }
    let inserted = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO issued (brand, model, serial, revision, device_key, sign_key, text)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            brand,
            model,
            serial,
            issue.revision,
            issue.device_key,
            issue.sign_key,
            issue.text
        ])?;
    Ok(if inserted == 1 { Ok(()) } else { Err(Conflict) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(serial: &str, device: &str, revision: u64) -> Issue {
        let text = |text: &str| text.to_owned();
        Issue {
            number: Number {
                brand: text("brand"),
                model: text("model"),
                serial: text(serial),
            },
            device: text(device),
            revision,
            device_key: text("key"),
            sign_key: text("signer"),
            text: text("assertion"),
        }
    }

    #[test]
    fn who_comes_second_is_told_so() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(super::super::SCHEMA).unwrap();
        let mut results = Vec::new();
        for attempt in [
            issue("1", "a", 0), // the first
            issue("1", "b", 0), // another device, the same serial
            issue("2", "a", 0), // the same device, another serial
            issue("1", "a", 0), // the same revision again
            issue("1", "a", 1),
            issue("2", "b", 0),
        ] {
            results.push(insert(&connection, &attempt).unwrap().is_ok());
        }
        assert_eq!(results, [true, false, false, false, true, true]);
    }
}
