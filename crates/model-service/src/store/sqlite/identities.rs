//! Reading the imported hardware identities from SQLite.

use rusqlite::Connection;

use super::database::SqliteStore;
use crate::store::{StoreError, StoredIdentity};

impl SqliteStore {
    pub(in crate::store) fn find_identities(&self, digest: &str) -> Result<Vec<StoredIdentity>, StoreError> {
        self.read_blocking(|connection| find_by_digest(connection, digest))
    }
}

fn find_by_digest(connection: &Connection, digest: &str) -> rusqlite::Result<Vec<StoredIdentity>> {
    connection
        .prepare_cached(
            "SELECT issuer, key_digest, text, key_digest IN (SELECT key_digest FROM blocked_identities)
             FROM identities JOIN identity_texts USING (id) WHERE digest = ?1",
        )?
        .query_map([digest], |row| {
            Ok(StoredIdentity {
                issuer: row.get(0)?,
                key_digest: row.get(1)?,
                assertion: row.get(2)?,
                blocked: row.get(3)?,
            })
        })?
        .collect()
}
