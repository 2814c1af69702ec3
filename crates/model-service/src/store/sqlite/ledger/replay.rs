//! Replaying lines that the database does not have.

use std::path::Path;

use ledger_chain::Head;
use rusqlite::{Connection, params};

use super::error::LedgerError;
use super::line::Stamp;
use super::segments;
use super::verify::for_each_line;
use crate::store::Event;
use crate::store::sqlite::{changes, serials, withdrawal};

/// Gives the database the effect of all lines after `from`. Returns their number.
///
/// Does not read files that only have earlier lines: others wait for the transaction. Their chain is
/// checked by [`verify`](super::verify()).
pub(super) fn replay(connection: &Connection, path: &Path, from: &Head) -> Result<u64, LedgerError> {
    let mut count = 0;
    let (files, start) = segments::from(path, from.sequence + 1)?;
    let mut known = &start == from;
    for_each_line(path, files, start, |place, head, line| {
        if head.sequence == from.sequence {
            known = head == from;
        }
        if head.sequence <= from.sequence {
            return Ok(());
        }
        if !known {
            return Err(LedgerError::Contradiction {
                sequence: from.sequence,
                reason: "the database has another line with this number".to_owned(),
            });
        }
        let event = serde_json::from_slice(line).map_err(|error| place.wrong(error.to_string()))?;
        let stamp: Stamp = serde_json::from_slice(line).map_err(|error| place.wrong(error.to_string()))?;
        apply(connection, &stamp, event)?;
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

fn apply(connection: &Connection, stamp: &Stamp, event: Event) -> Result<(), LedgerError> {
    let time = stamp.seconds();
    changes::append(connection, time, &event)?;
    match event {
        Event::SerialIssued {
            brand,
            model,
            serial,
            revision,
            device,
            device_key,
            sign_key,
            assertion,
        } => {
            connection
                .prepare_cached("INSERT OR IGNORE INTO serials VALUES (?1, ?2, ?3, ?4)")?
                .execute([&brand, &model, &serial, &device])?;
            if serials::serial_of(connection, &brand, &model, &device)?.as_ref() != Some(&serial) {
                return Err(LedgerError::Contradiction {
                    sequence: stamp.sequence,
                    reason: format!("the serial {serial:?} or its device has another counterpart"),
                });
            }
            connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO issued
                         (brand, model, serial, revision, device_key, sign_key, text, time)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    brand, model, serial, revision, device_key, sign_key, assertion, time
                ])?;
        }
        Event::SerialReleased {
            brand, model, serial, ..
        } => serials::delete(connection, &brand, &model, &serial)?,
        Event::IdentityBlocked {
            key_digest,
            since,
            reason,
            ..
        } => withdrawal::block(connection, &key_digest, since, &reason)?,
        Event::IdentityUnblocked { key_digest, .. } => withdrawal::unblock(connection, &key_digest)?,
        Event::IdentitiesImported { .. } | Event::DatabaseRestored { .. } => {}
    }
    Ok(())
}
