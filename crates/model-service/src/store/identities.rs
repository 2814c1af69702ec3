//! The imported hardware identities.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};
use snap_assertions::Assertion;
use snap_assertions::types::HardwareIdentity;

/// A hardware identity as it is imported.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Identity {
    pub(crate) issuer: String,
    pub(crate) digest: String,
    pub(crate) key_digest: String,
    pub(crate) revision: u64,
    pub(crate) hardware_id: String,
    pub(crate) hardware_name: String,
    pub(crate) manufacturer: String,
    /// The assertion.
    pub(crate) text: String,
}

impl Identity {
    pub(crate) fn new(assertion: &Assertion, view: &HardwareIdentity<'_>) -> Self {
        Self {
            issuer: view.issuer_id().to_owned(),
            digest: view.key_digest().to_owned(),
            key_digest: view.key().der_digest(),
            revision: assertion.revision(),
            hardware_id: view.hardware_id().to_owned(),
            hardware_name: view.hardware_name().to_owned(),
            manufacturer: view.manufacturer().to_owned(),
            text: assertion.to_string(),
        }
    }
}

/// What importing an identity did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It was not there.
    New,
    /// It took the place of one with a lower revision.
    Replaced,
    /// The same assertion was there.
    Present,
    /// One with a higher revision was there, and stays.
    Older,
    /// Another assertion with the same revision was there, and stays.
    Differs,
}

/// Puts an identity in its place.
pub(crate) fn place(connection: &Connection, identity: &Identity, now: i64) -> rusqlite::Result<Placed> {
    let known = connection
        .prepare_cached(
            "SELECT id, revision, text FROM identities JOIN identity_texts USING (id) WHERE digest = ?1 AND issuer = ?2",
        )?
        .query_row([&identity.digest, &identity.issuer], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, u64>(1)?, row.get::<_, String>(2)?))
        })
        .optional()?;
    let replaces = match known {
        None => None,
        Some((id, revision, _)) if revision < identity.revision => Some(id),
        Some((_, revision, _)) if revision > identity.revision => return Ok(Placed::Older),
        Some((_, _, text)) if text == identity.text => return Ok(Placed::Present),
        Some(_) => return Ok(Placed::Differs),
    };
    connection
        .prepare_cached("INSERT OR REPLACE INTO identities VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
        .execute(params![
            replaces,
            identity.issuer,
            identity.digest,
            identity.key_digest,
            identity.revision,
            identity.hardware_id,
            identity.hardware_name,
            identity.manufacturer,
            now
        ])?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO identity_texts VALUES (?1, ?2)")?
        .execute(params![connection.last_insert_rowid(), identity.text])?;
    Ok(match replaces {
        None => Placed::New,
        Some(_) => Placed::Replaced,
    })
}

/// What a registration needs of an identity.
pub(crate) struct StoredIdentity {
    pub(crate) issuer: String,
    pub(crate) key_digest: String,
    /// The assertion.
    pub(crate) text: String,
}

/// The identities whose header `hardware-id-key-sha3-384` is `digest`: one for each issuer.
pub(crate) fn find_by_digest(connection: &Connection, digest: &str) -> rusqlite::Result<Vec<StoredIdentity>> {
    connection
        .prepare_cached(
            "SELECT issuer, key_digest, text FROM identities JOIN identity_texts USING (id) WHERE digest = ?1",
        )?
        .query_map([digest], |row| {
            Ok(StoredIdentity {
                issuer: row.get(0)?,
                key_digest: row.get(1)?,
                text: row.get(2)?,
            })
        })?
        .collect()
}

/// An identity as the page lists it.
pub(crate) struct IdentityRow {
    pub(crate) id: i64,
    pub(crate) issuer: String,
    pub(crate) digest: String,
    pub(crate) revision: u64,
    pub(crate) hardware_id: String,
    pub(crate) hardware_name: String,
    pub(crate) manufacturer: String,
    pub(crate) imported: i64,
}

impl IdentityRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            issuer: row.get("issuer")?,
            digest: row.get("digest")?,
            revision: row.get("revision")?,
            hardware_id: row.get("hardware_id")?,
            hardware_name: row.get("hardware_name")?,
            manufacturer: row.get("manufacturer")?,
            imported: row.get("imported")?,
        })
    }
}

/// The newest identities that hold `text` in an id, a name or the digest (all of them where it is empty), below
/// the id `before`.
pub(crate) fn search(
    connection: &Connection,
    text: &str,
    before: i64,
    most: u32,
) -> rusqlite::Result<Vec<IdentityRow>> {
    connection
        .prepare_cached(
            "SELECT * FROM identities WHERE id < ?2
             AND (?1 = '' OR instr(lower(hardware_id), ?1) OR instr(lower(digest), ?1) OR instr(lower(issuer), ?1)
                  OR instr(lower(hardware_name), ?1) OR instr(lower(manufacturer), ?1))
             ORDER BY id DESC LIMIT ?3",
        )?
        .query_map(params![text.to_ascii_lowercase(), before, most], IdentityRow::read)?
        .collect()
}
