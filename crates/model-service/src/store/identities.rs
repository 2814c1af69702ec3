//! The imported hardware identities.

use std::cmp::Ordering;

use rusqlite::{Connection, Row, Statement, params};
use snap_assertions::types::HardwareIdentity;
use snap_assertions::{Assertion, DigestForm};

/// A hardware identity as it is imported.
#[derive(Debug)]
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
            key_digest: view.key().public_key().digest(DigestForm::Der),
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

/// Puts identities in their places, one after another in a transaction.
pub(crate) struct Placing<'a> {
    connection: &'a Connection,
    now: i64,
    insert: Statement<'a>,
    insert_text: Statement<'a>,
    find: Statement<'a>,
    update: Statement<'a>,
    update_text: Statement<'a>,
}

impl<'a> Placing<'a> {
    /// `now` is the time of the import.
    pub(crate) fn new(connection: &'a Connection, now: i64) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            now,
            insert: connection.prepare(
                "INSERT INTO identities VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (digest, issuer) DO NOTHING",
            )?,
            insert_text: connection.prepare("INSERT INTO identity_texts VALUES (?1, ?2)")?,
            find: connection.prepare(
                "SELECT id, revision, text FROM identities JOIN identity_texts USING (id)
                 WHERE digest = ?1 AND issuer = ?2",
            )?,
            update: connection.prepare(
                "UPDATE identities SET key_digest = ?3, revision = ?4, hardware_id = ?5, hardware_name = ?6,
                 manufacturer = ?7, imported = ?8 WHERE digest = ?2 AND issuer = ?1",
            )?,
            update_text: connection.prepare("UPDATE identity_texts SET text = ?2 WHERE id = ?1")?,
        })
    }

    pub(crate) fn place(&mut self, identity: &Identity) -> rusqlite::Result<Placed> {
        let row = params![
            identity.issuer,
            identity.digest,
            identity.key_digest,
            identity.revision,
            identity.hardware_id,
            identity.hardware_name,
            identity.manufacturer,
            self.now
        ];
        // Most are new, and a search of their own would tell no more.
        if self.insert.execute(row)? == 1 {
            let id = self.connection.last_insert_rowid();
            self.insert_text.execute(params![id, identity.text])?;
            return Ok(Placed::New);
        }
        let known = |row: &Row<'_>| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, u64>(1)?,
                row.get::<_, String>(2)?,
            ))
        };
        let (id, revision, text) = self.find.query_row([&identity.digest, &identity.issuer], known)?;
        Ok(match revision.cmp(&identity.revision) {
            Ordering::Greater => Placed::Older,
            Ordering::Equal if text == identity.text => Placed::Present,
            Ordering::Equal => Placed::Differs,
            Ordering::Less => {
                self.update.execute(row)?;
                self.update_text.execute(params![id, identity.text])?;
                Placed::Replaced
            }
        })
    }
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
