//! Writing hardware identities to SQLite: all identities of an import in one transaction.

use std::cmp::Ordering;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, params};

use super::database::{LOCK_WAIT, SqliteStore};
use crate::store::{
    Event, IdentityRecord, ImportOrigin, StoreError, StoredCounts, UpsertOutcome, UpsertResult,
};

/// A transaction that stores identities. Dropped without [`commit`](Self::commit), it stores
/// nothing.
pub(crate) struct ImportTransaction {
    store: SqliteStore,
    connection: Connection,
    now: i64,
    /// The number of this import.
    number: i64,
}

impl SqliteStore {
    pub(in crate::store) fn begin_import(&self, now: i64) -> Result<ImportTransaction, StoreError> {
        let connection = self.connect_for_import()?;
        match connection.execute_batch("BEGIN IMMEDIATE") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                return Err(StoreError::ImportRunning);
            }
            begun => begun?,
        }
        connection.busy_timeout(LOCK_WAIT)?;
        // Who imported what is known at the end.
        connection.execute(
            "INSERT INTO imports (time, author, name, added, replaced, present, older)
             VALUES (?1, '', '', 0, 0, 0, 0)",
            [now],
        )?;
        Ok(ImportTransaction {
            store: self.clone(),
            number: connection.last_insert_rowid(),
            connection,
            now,
        })
    }
}

impl ImportTransaction {
    pub(in crate::store) fn upsert_identities(
        &self,
        identities: &[IdentityRecord],
    ) -> Result<Vec<UpsertResult>, StoreError> {
        let upserted = identities.iter().map(|identity| {
            let outcome = upsert(&self.connection, identity, (self.number, self.now))?;
            let other_key = match outcome {
                UpsertOutcome::New | UpsertOutcome::Replaced => find_other_key(&self.connection, identity)?,
                UpsertOutcome::Present | UpsertOutcome::Older | UpsertOutcome::Conflict => None,
            };
            Ok(UpsertResult { outcome, other_key })
        });
        upserted.collect()
    }

    pub(in crate::store) fn commit(
        self,
        counts: StoredCounts,
        origin: &ImportOrigin,
    ) -> Result<(), StoreError> {
        self.store.check_files()?;
        self.connection.execute(
            "UPDATE imports SET author = ?2, name = ?3, added = ?4, replaced = ?5, present = ?6, older = ?7
             WHERE number = ?1",
            params![
                self.number,
                origin.by,
                origin.name,
                counts.new,
                counts.replaced,
                counts.present,
                counts.older
            ],
        )?;
        if counts.changed() {
            let event = Event::import(counts, &origin.by);
            self.store.write_blocking(move |_, events| {
                events.push(event);
                Ok(())
            })?;
        }
        Ok(self.connection.execute_batch("COMMIT")?)
    }
}

/// The digest of the oldest identity by the same issuer that has the same hardware-id and another
/// key.
fn find_other_key(connection: &Connection, identity: &IdentityRecord) -> rusqlite::Result<Option<String>> {
    let other = "SELECT digest FROM identities
         WHERE hardware_id = ?1 AND issuer = ?2 AND key_digest <> ?3 ORDER BY id LIMIT 1";
    let keys = [&identity.hardware_id, &identity.issuer, &identity.key_digest];
    connection
        .prepare_cached(other)?
        .query_row(keys, |row| row.get(0))
        .optional()
}

fn upsert(
    connection: &Connection,
    identity: &IdentityRecord,
    (import, now): (i64, i64),
) -> rusqlite::Result<UpsertOutcome> {
    let row = params![
        identity.issuer,
        identity.digest,
        identity.key_digest,
        identity.revision,
        identity.hardware_id,
        identity.hardware_name,
        identity.manufacturer,
        now,
        import
    ];
    // Most are new, so that a search before the insertion would be wasted.
    let inserted = connection
        .prepare_cached(
            "INSERT INTO identities VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
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
                     manufacturer = ?7, imported = ?8, import = ?9 WHERE digest = ?2 AND issuer = ?1",
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
