//! Writing hardware identities: all identities of an import in one transaction.

use std::cmp::Ordering;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::database::Store;
use super::error::StoreError;
use super::identities::IdentityRecord;
use super::ledger::Event;

/// The number of identities that an import stores, by outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredCounts {
    pub(crate) new: u64,
    pub(crate) replaced: u64,
    pub(crate) present: u64,
    pub(crate) older: u64,
}

/// The result of storing an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpsertOutcome {
    /// It was not stored before.
    New,
    /// It replaced one with a lower revision.
    Replaced,
    /// The same assertion was stored before.
    Present,
    /// One with a higher revision is stored, and stays.
    Older,
    /// Another assertion with the same revision is stored, and stays.
    Conflict,
}

/// A transaction that stores identities. Dropped without [`commit`](Self::commit), it stores
/// nothing.
pub(crate) struct ImportTransaction {
    connection: Connection,
    now: i64,
}

impl Store {
    /// Begins an import at the time `now`. Waits until no other import stores; blocks the calling
    /// thread.
    pub(crate) fn begin_import(&self, now: i64) -> Result<ImportTransaction, StoreError> {
        let connection = self.connect_for_import()?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(ImportTransaction { connection, now })
    }
}

impl ImportTransaction {
    /// Stores an identity, unless a newer one or another one with the same revision is stored.
    pub(crate) fn upsert_identity(&self, identity: &IdentityRecord) -> Result<UpsertOutcome, StoreError> {
        Ok(upsert(&self.connection, identity, self.now)?)
    }

    /// The digest of the oldest identity by the same issuer that has the same hardware-id and another
    /// key.
    pub(crate) fn find_other_key(&self, identity: &IdentityRecord) -> Result<Option<String>, StoreError> {
        let other = "SELECT digest FROM identities
             WHERE hardware_id = ?1 AND issuer = ?2 AND key_digest <> ?3 ORDER BY id LIMIT 1";
        let keys = [&identity.hardware_id, &identity.issuer, &identity.key_digest];
        let mut statement = self.connection.prepare_cached(other)?;
        Ok(statement.query_row(keys, |row| row.get(0)).optional()?)
    }

    /// Records the import by `by` in the ledger, then commits the transaction: it is on the disk when
    /// this returns.
    pub(crate) fn commit(self, store: &Store, counts: StoredCounts, by: &str) -> Result<(), StoreError> {
        let StoredCounts {
            new,
            replaced,
            present,
            older,
        } = counts;
        store.check_files()?;
        if new + replaced > 0 {
            let event = Event::IdentitiesImported {
                new,
                replaced,
                present,
                older,
                by: by.to_owned(),
            };
            store.write_blocking(move |_, events| {
                events.push(event);
                Ok(())
            })?;
        }
        Ok(self.connection.execute_batch("COMMIT")?)
    }
}

fn upsert(connection: &Connection, identity: &IdentityRecord, now: i64) -> rusqlite::Result<UpsertOutcome> {
    let row = params![
        identity.issuer,
        identity.digest,
        identity.key_digest,
        identity.revision,
        identity.hardware_id,
        identity.hardware_name,
        identity.manufacturer,
        now
    ];
    // Most are new, so that a search before the insertion would be wasted.
    let inserted = connection
        .prepare_cached(
            "INSERT INTO identities VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (digest, issuer) DO NOTHING",
        )?
        .execute(row)?;
    if inserted == 1 {
        let id = connection.last_insert_rowid();
        connection
            .prepare_cached("INSERT INTO identity_texts VALUES (?1, ?2)")?
            .execute(params![id, identity.assertion])?;
        return Ok(UpsertOutcome::New);
    }
    let (id, revision, assertion) = find_stored(connection, identity)?;
    Ok(match revision.cmp(&identity.revision) {
        Ordering::Greater => UpsertOutcome::Older,
        Ordering::Equal if assertion == identity.assertion => UpsertOutcome::Present,
        Ordering::Equal => UpsertOutcome::Conflict,
        Ordering::Less => {
            connection
                .prepare_cached(
                    "UPDATE identities SET key_digest = ?3, revision = ?4, hardware_id = ?5, hardware_name = ?6,
                     manufacturer = ?7, imported = ?8 WHERE digest = ?2 AND issuer = ?1",
                )?
                .execute(row)?;
            connection
                .prepare_cached("UPDATE identity_texts SET text = ?2 WHERE id = ?1")?
                .execute(params![id, identity.assertion])?;
            UpsertOutcome::Replaced
        }
    })
}

/// The row id, revision and assertion of the stored identity with the same key and issuer.
fn find_stored(connection: &Connection, identity: &IdentityRecord) -> rusqlite::Result<(i64, u64, String)> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    connection
        .prepare_cached(
            "SELECT id, revision, text FROM identities JOIN identity_texts USING (id)
             WHERE digest = ?1 AND issuer = ?2",
        )?
        .query_row([&identity.digest, &identity.issuer], read)
}
