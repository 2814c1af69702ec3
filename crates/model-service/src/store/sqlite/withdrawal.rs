//! Taking back in SQLite: blocked hardware identities and released serials.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::database::SqliteStore;
use super::{changes, serials};
use crate::store::{
    Authorship, Event, IdentityState, ImportedIdentity, SerialNumber, StoreError, identity_device,
};

impl SqliteStore {
    pub(in crate::store) fn find_identity(&self, digest: &str) -> Result<Option<IdentityState>, StoreError> {
        self.read_blocking(|connection| identity_state(connection, digest))
    }

    pub(in crate::store) fn block_identity(
        &self,
        key_digest: String,
        now: i64,
        authorship: Authorship,
    ) -> Result<bool, StoreError> {
        self.write_blocking(move |connection, events| {
            if find_block(connection, &key_digest)?.is_some() {
                return Ok(false);
            }
            block(connection, &key_digest, now, &authorship.reason)?;
            let event = Event::block(key_digest, now, authorship);
            changes::append(connection, now, &event)?;
            events.push(event);
            Ok(true)
        })
    }

    pub(in crate::store) fn unblock_identity(
        &self,
        key_digest: String,
        authorship: Authorship,
    ) -> Result<bool, StoreError> {
        let now = self.clock().now().wall;
        self.write_blocking(move |connection, events| {
            if find_block(connection, &key_digest)?.is_none() {
                return Ok(false);
            }
            unblock(connection, &key_digest)?;
            let event = Event::unblock(key_digest, authorship);
            changes::append(connection, now, &event)?;
            events.push(event);
            Ok(true)
        })
    }

    pub(in crate::store) fn release_serial(
        &self,
        number: SerialNumber,
        authorship: Authorship,
    ) -> Result<bool, StoreError> {
        let now = self.clock().now().wall;
        self.write_blocking(move |connection, events| {
            let Some(device) = serials::holder(connection, &number)? else {
                return Ok(false);
            };
            serials::delete(connection, &number.brand, &number.model, &number.serial)?;
            let event = Event::release(number, device, authorship);
            changes::append(connection, now, &event)?;
            events.push(event);
            Ok(true)
        })
    }
}

pub(super) fn is_blocked(connection: &Connection, key_digest: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM blocked_identities WHERE key_digest = ?1")?
        .exists([key_digest])
}

fn find_block(connection: &Connection, key_digest: &str) -> rusqlite::Result<Option<(i64, String)>> {
    connection
        .prepare_cached("SELECT time, reason FROM blocked_identities WHERE key_digest = ?1")?
        .query_row([key_digest], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

pub(super) fn block(
    connection: &Connection,
    key_digest: &str,
    since: i64,
    reason: &str,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO blocked_identities VALUES (?1, ?2, ?3)")?
        .execute(params![key_digest, since, reason])
        .map(drop)
}

pub(super) fn unblock(connection: &Connection, key_digest: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM blocked_identities WHERE key_digest = ?1")?
        .execute([key_digest])
        .map(drop)
}

fn identity_state(connection: &Connection, digest: &str) -> rusqlite::Result<Option<IdentityState>> {
    let key_digest: Option<String> = connection
        .query_row(
            // A blocked identity need not be imported any more, after a restore.
            "SELECT key_digest FROM identities WHERE digest = ?1 OR key_digest = ?1
             UNION SELECT key_digest FROM blocked_identities WHERE key_digest = ?1 LIMIT 1",
            [digest],
            |row| row.get(0),
        )
        .optional()?;
    let Some(key_digest) = key_digest else {
        return Ok(None);
    };
    let identities = connection
        .prepare_cached(
            "SELECT issuer, digest, revision, hardware_id, hardware_name, manufacturer
             FROM identities WHERE key_digest = ?1 ORDER BY id",
        )?
        .query_map([&key_digest], |row| {
            Ok(ImportedIdentity {
                issuer: row.get(0)?,
                digest: row.get(1)?,
                revision: row.get(2)?,
                hardware_id: row.get(3)?,
                hardware_name: row.get(4)?,
                manufacturer: row.get(5)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(Some(IdentityState {
        identities,
        blocked: find_block(connection, &key_digest)?,
        serials: serials::of_device(connection, &identity_device(&key_digest))?,
        key_digest,
    }))
}
