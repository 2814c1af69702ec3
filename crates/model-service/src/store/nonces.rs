//! Nonces: issued, valid for a limited time, consumed once.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::database::Store;
use super::error::StoreError;

/// How long an expired nonce is kept, in seconds, so that a late request gets "expired" and not
/// "unknown".
const KEPT_AFTER_EXPIRY: i64 = 24 * 60 * 60;

/// The result of consuming a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NonceState {
    /// It was open and is consumed now.
    Consumed,
    /// It was consumed before.
    Used,
    /// It is no longer valid.
    Expired,
    /// It was never issued, or was deleted to make room for newer ones.
    Unknown,
}

/// The nonces that devices can still use.
pub(crate) struct OpenNonces {
    /// How many there are.
    pub(crate) count: u64,
    /// Those that expire first: the nonce and the time when it expires.
    pub(crate) first: Vec<(String, i64)>,
}

impl Store {
    /// Stores a new nonce that is valid for `seconds` from `now`. At most `limit` nonces are kept:
    /// the oldest are deleted.
    pub(crate) async fn issue_nonce(
        &self,
        nonce: &str,
        now: i64,
        seconds: i64,
        limit: i64,
    ) -> Result<(), StoreError> {
        let nonce = nonce.to_owned();
        self.write(move |connection| issue(connection, &nonce, now, seconds, limit))
            .await
    }

    /// Consumes a nonce. Of two concurrent requests with the same nonce, one finds it used.
    pub(crate) fn consume_nonce(&self, nonce: &str, now: i64) -> Result<NonceState, StoreError> {
        let nonce = nonce.to_owned();
        self.write_blocking(move |connection| consume(connection, &nonce, now))
    }

    /// Counts the nonces that are open at `now`, and lists at most `limit` that expire first.
    pub(crate) async fn open_nonces(&self, now: i64, limit: u32) -> Result<OpenNonces, StoreError> {
        self.read(move |connection| list_open(connection, now, limit))
            .await
    }
}

fn issue(connection: &Connection, nonce: &str, now: i64, seconds: i64, limit: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO nonces (nonce, expires) VALUES (?1, ?2)")?
        .execute(params![nonce, now + seconds])?;
    let id = connection.last_insert_rowid();
    connection
        .prepare_cached("DELETE FROM nonces WHERE id <= ?1")?
        .execute([id - limit])?;
    // A few of the oldest are enough: each new nonce deletes more than one.
    connection
        .prepare_cached(
            "DELETE FROM nonces WHERE id IN (SELECT id FROM nonces ORDER BY id LIMIT 4) AND expires < ?1",
        )?
        .execute([now - KEPT_AFTER_EXPIRY])?;
    Ok(())
}

fn consume(connection: &Connection, nonce: &str, now: i64) -> rusqlite::Result<NonceState> {
    let consumed = connection
        .prepare_cached("UPDATE nonces SET used = 1 WHERE nonce = ?1 AND used = 0 AND expires > ?2")?
        .execute(params![nonce, now])?;
    if consumed == 1 {
        return Ok(NonceState::Consumed);
    }
    let used = connection
        .prepare_cached("SELECT used FROM nonces WHERE nonce = ?1")?
        .query_row([nonce], |row| row.get::<_, bool>(0))
        .optional()?;
    Ok(match used {
        None => NonceState::Unknown,
        Some(true) => NonceState::Used,
        Some(false) => NonceState::Expired,
    })
}

fn list_open(connection: &Connection, now: i64, limit: u32) -> rusqlite::Result<OpenNonces> {
    let count = "SELECT count(*) FROM nonces WHERE used = 0 AND expires > ?1";
    let list =
        "SELECT nonce, expires FROM nonces WHERE used = 0 AND expires > ?1 ORDER BY expires, id LIMIT ?2";
    let mut list = connection.prepare_cached(list)?;
    let rows = list.query_map(params![now, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(OpenNonces {
        count: connection.query_row(count, [now], |row| row.get(0))?,
        first: rows.collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::database::SCHEMA;
    use super::*;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection
    }

    #[test]
    fn a_nonce_is_valid_once_and_until_it_expires() {
        let database = database();
        for nonce in ["used", "late"] {
            issue(&database, nonce, 1000, 600, 10).unwrap();
        }
        let states: Vec<_> = [("used", 1599), ("used", 1599), ("late", 1600), ("other", 1000)]
            .iter()
            .map(|(nonce, now)| consume(&database, nonce, *now).unwrap())
            .collect();
        use NonceState::{Consumed, Expired, Unknown, Used};
        assert_eq!(states, [Consumed, Used, Expired, Unknown]);
    }

    #[test]
    fn the_oldest_are_deleted_for_new_ones() {
        let database = database();
        for nonce in ["a", "b", "c", "d"] {
            issue(&database, nonce, 1000, 600, 3).unwrap();
        }
        let open = list_open(&database, 1000, 10).unwrap();
        assert_eq!(open.count, 3);
        assert_eq!(open.first[0].0, "b");
    }

    #[test]
    fn expired_nonces_are_deleted_after_a_day() {
        let database = database();
        for nonce in ["a", "b", "c"] {
            issue(&database, nonce, 1000, 600, 100).unwrap();
        }
        issue(&database, "d", 1601 + KEPT_AFTER_EXPIRY, 600, 100).unwrap();
        let left: i64 = database
            .query_row("SELECT count(*) FROM nonces", [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 1);
    }
}
