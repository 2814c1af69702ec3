//! Changes by administrators, for the histories of identities and serials.

use rusqlite::{Connection, Row, params};

use crate::store::{Change, ChangeKind, Event, SerialNumber, identity_device};

const COLUMNS: &str = "time, kind, device, reason, author, brand, model, serial";

/// Adds what the event changes; nothing if it is not a change by an administrator.
pub(super) fn append(connection: &Connection, time: i64, event: &Event) -> rusqlite::Result<()> {
    let (kind, device, number, reason, by) = match event {
        Event::IdentityBlocked {
            key_digest,
            reason,
            by,
            ..
        } => (
            ChangeKind::IdentityBlocked,
            identity_device(key_digest),
            ["", "", ""],
            reason,
            by,
        ),
        Event::IdentityUnblocked {
            key_digest,
            reason,
            by,
        } => (
            ChangeKind::IdentityUnblocked,
            identity_device(key_digest),
            ["", "", ""],
            reason,
            by,
        ),
        Event::SerialReleased {
            brand,
            model,
            serial,
            device,
            reason,
            by,
        } => (
            ChangeKind::SerialReleased,
            device.clone(),
            [brand.as_str(), model.as_str(), serial.as_str()],
            reason,
            by,
        ),
        Event::SerialIssued { .. } | Event::IdentitiesImported { .. } | Event::DatabaseRestored { .. } => {
            return Ok(());
        }
    };
    let [brand, model, serial] = number;
    connection
        .prepare_cached(&format!(
            "INSERT INTO changes ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
        ))?
        .execute(params![
            time,
            kind.name(),
            device,
            reason,
            by,
            brand,
            model,
            serial
        ])
        .map(drop)
}

/// The changes of an identity and of the serials that it had, newest first.
pub(super) fn of_device(connection: &Connection, device: &str) -> rusqlite::Result<Vec<Change>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM changes WHERE device = ?1 ORDER BY id DESC"
        ))?
        .query_map([device], read_row)?
        .collect()
}

/// The releases of a serial, newest first.
pub(super) fn of_serial(connection: &Connection, number: &SerialNumber) -> rusqlite::Result<Vec<Change>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM changes WHERE serial = ?1 AND brand = ?2 AND model = ?3 ORDER BY id DESC"
        ))?
        .query_map([&number.serial, &number.brand, &number.model], read_row)?
        .collect()
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<Change> {
    Ok(Change {
        time: row.get(0)?,
        kind: ChangeKind::from_name(&row.get::<_, String>(1)?).ok_or(rusqlite::Error::InvalidQuery)?,
        device: row.get(2)?,
        reason: row.get(3)?,
        by: row.get(4)?,
        number: SerialNumber {
            brand: row.get(5)?,
            model: row.get(6)?,
            serial: row.get(7)?,
        },
    })
}
