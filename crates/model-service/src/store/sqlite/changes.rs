//! Changes by administrators, for the histories of identities and serials.

use rusqlite::{Connection, params, params_from_iter};

use super::columns::read;
use crate::store::{Change, ChangeKind, Event, SerialNumber, identity_device};

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
        .prepare_cached(
            "INSERT INTO changes (time, kind, device, reason, author, brand, model, serial)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
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
    find(connection, Change::OF_DEVICE, &[device])
}

/// The releases of a serial, newest first.
pub(super) fn of_serial(connection: &Connection, number: &SerialNumber) -> rusqlite::Result<Vec<Change>> {
    find(
        connection,
        Change::OF_SERIAL,
        &[&number.serial, &number.brand, &number.model],
    )
}

fn find(connection: &Connection, query: &str, keys: &[&str]) -> rusqlite::Result<Vec<Change>> {
    let mut statement = connection.prepare_cached(query)?;
    let found = statement.query_map(params_from_iter(keys), read)?;
    let found: Vec<Option<Change>> = found.collect::<Result<_, _>>()?;
    Ok(found.into_iter().flatten().collect())
}
