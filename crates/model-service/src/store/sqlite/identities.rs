//! Reading the imported hardware identities from SQLite.

use rusqlite::{Connection, Row, params};

use super::database::SqliteStore;
use crate::store::{IdentityRow, StoreError, StoredIdentity};

impl SqliteStore {
    pub(in crate::store) fn find_identities(&self, digest: &str) -> Result<Vec<StoredIdentity>, StoreError> {
        self.read_blocking(|connection| find_by_digest(connection, digest))
    }

    pub(in crate::store) async fn search_identities(
        &self,
        text: &str,
        before: i64,
        limit: u32,
    ) -> Result<Vec<IdentityRow>, StoreError> {
        let text = text.to_ascii_lowercase();
        self.read(move |connection| search(connection, &text, before, limit))
            .await
    }
}

fn find_by_digest(connection: &Connection, digest: &str) -> rusqlite::Result<Vec<StoredIdentity>> {
    connection
        .prepare_cached(
            "SELECT issuer, key_digest, text FROM identities JOIN identity_texts USING (id) WHERE digest = ?1",
        )?
        .query_map([digest], |row| {
            Ok(StoredIdentity {
                issuer: row.get(0)?,
                key_digest: row.get(1)?,
                assertion: row.get(2)?,
            })
        })?
        .collect()
}

fn search(
    connection: &Connection,
    text: &str,
    before: i64,
    limit: u32,
) -> rusqlite::Result<Vec<IdentityRow>> {
    connection
        .prepare_cached(
            "SELECT *, key_digest IN (SELECT key_digest FROM blocked_identities) AS blocked
             FROM identities WHERE id < ?2
             AND (?1 = '' OR instr(lower(hardware_id), ?1) OR instr(lower(digest), ?1) OR instr(lower(issuer), ?1)
                  OR instr(lower(hardware_name), ?1) OR instr(lower(manufacturer), ?1))
             ORDER BY id DESC LIMIT ?3",
        )?
        .query_map(params![text, before, limit], read_row)?
        .collect()
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<IdentityRow> {
    Ok(IdentityRow {
        id: row.get("id")?,
        issuer: row.get("issuer")?,
        digest: row.get("digest")?,
        revision: row.get("revision")?,
        hardware_id: row.get("hardware_id")?,
        hardware_name: row.get("hardware_name")?,
        manufacturer: row.get("manufacturer")?,
        imported: row.get("imported")?,
        blocked: row.get("blocked")?,
    })
}
