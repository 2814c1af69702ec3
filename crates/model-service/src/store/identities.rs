//! Reading the imported hardware identities.

use rusqlite::{Connection, Row, params};
use snap_assertions::types::HardwareIdentity;
use snap_assertions::{Assertion, DigestForm};

use super::database::Store;
use super::error::StoreError;

/// A hardware identity as an import stores it.
#[derive(Debug)]
pub(crate) struct IdentityRecord {
    pub(crate) issuer: String,
    /// The header `hardware-id-key-sha3-384`, in the form that it has.
    pub(crate) digest: String,
    /// The digest of the key's DER bytes, whatever form the header has.
    pub(crate) key_digest: String,
    pub(crate) revision: u64,
    pub(crate) hardware_id: String,
    pub(crate) hardware_name: String,
    pub(crate) manufacturer: String,
    pub(crate) assertion: String,
}

impl IdentityRecord {
    pub(crate) fn new(assertion: &Assertion, identity: &HardwareIdentity<'_>) -> Self {
        Self {
            issuer: identity.issuer_id().to_owned(),
            digest: identity.key_digest().to_owned(),
            key_digest: identity.key().public_key().digest(DigestForm::Der),
            revision: assertion.revision(),
            hardware_id: identity.hardware_id().to_owned(),
            hardware_name: identity.hardware_name().to_owned(),
            manufacturer: identity.manufacturer().to_owned(),
            assertion: assertion.to_string(),
        }
    }
}

/// The part of an identity that a registration needs.
pub(crate) struct StoredIdentity {
    pub(crate) issuer: String,
    pub(crate) key_digest: String,
    pub(crate) assertion: String,
}

/// An identity in the list on the page.
pub(crate) struct IdentityRow {
    pub(crate) id: i64,
    pub(crate) issuer: String,
    pub(crate) digest: String,
    pub(crate) revision: u64,
    pub(crate) hardware_id: String,
    pub(crate) hardware_name: String,
    pub(crate) manufacturer: String,
    /// The time of the import, in seconds since the epoch.
    pub(crate) imported: i64,
    pub(crate) blocked: bool,
}

impl Store {
    /// The identities whose header `hardware-id-key-sha3-384` is `digest`: one for each issuer.
    pub(crate) fn find_identities(&self, digest: &str) -> Result<Vec<StoredIdentity>, StoreError> {
        self.read_blocking(|connection| find_by_digest(connection, digest))
    }

    /// Lists the newest identities with an id below `before`, at most `limit`, that contain `text`
    /// in an id, a name or the digest. An empty `text` matches all.
    pub(crate) async fn search_identities(
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
