//! Nonces: issued, good for a while, used once.

use rusqlite::{Connection, OptionalExtension as _, params};

/// How long an expired nonce is remembered, in seconds, so that a late request hears "expired" and not "unknown".
const REMEMBERED: i64 = 24 * 60 * 60;

/// What became of an attempt to use a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NonceState {
    /// It was open, and now is used.
    Consumed,
    /// It was used before.
    Used,
    /// Its time is over.
    Expired,
    /// It was never issued, or was given up for newer ones.
    Unknown,
}

/// The nonces that devices may still use.
pub(crate) struct OpenNonces {
    /// How many there are.
    pub(crate) count: u64,
    /// Those that expire first: the nonce and when it expires.
    pub(crate) first: Vec<(String, i64)>,
}

/// Stores a new nonce. No more than `most` are kept: the oldest are given up.
pub(crate) fn issue(
    connection: &Connection,
    nonce: &str,
    now: i64,
    seconds: i64,
    most: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO nonces (nonce, expires) VALUES (?1, ?2)")?
        .execute(params![nonce, now + seconds])?;
    let id = connection.last_insert_rowid();
    connection
        .prepare_cached("DELETE FROM nonces WHERE id <= ?1")?
        .execute([id - most])?;
    // The oldest few suffice: each new nonce takes away more than one.
    connection
        .prepare_cached(
            "DELETE FROM nonces WHERE id IN (SELECT id FROM nonces ORDER BY id LIMIT 4) AND expires < ?1",
        )?
        .execute([now - REMEMBERED])?;
    Ok(())
}

/// Uses a nonce up, once for all: of two requests that race one finds it used.
pub(crate) fn consume(connection: &Connection, nonce: &str, now: i64) -> rusqlite::Result<NonceState> {
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

/// Counts the open nonces and lists the `most` that expire first.
pub(crate) fn open_nonces(connection: &Connection, now: i64, most: u32) -> rusqlite::Result<OpenNonces> {
    let count = "SELECT count(*) FROM nonces WHERE used = 0 AND expires > ?1";
    let list =
        "SELECT nonce, expires FROM nonces WHERE used = 0 AND expires > ?1 ORDER BY expires, id LIMIT ?2";
    let mut list = connection.prepare_cached(list)?;
    let rows = list.query_map(params![now, most], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(OpenNonces {
        count: connection.query_row(count, [now], |row| row.get(0))?,
        first: rows.collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(super::super::SCHEMA).unwrap();
        connection
    }

    #[test]
    fn a_nonce_is_good_once_and_until_it_expires() {
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
    fn the_oldest_make_room_for_new_ones() {
        let database = database();
        for nonce in ["a", "b", "c", "d"] {
            issue(&database, nonce, 1000, 600, 3).unwrap();
        }
        let open = open_nonces(&database, 1000, 10).unwrap();
        assert_eq!(open.count, 3);
        assert_eq!(open.first[0].0, "b");
    }

    #[test]
    fn expired_ones_are_cleared_away_after_a_day() {
        let database = database();
        for nonce in ["a", "b", "c"] {
            issue(&database, nonce, 1000, 600, 100).unwrap();
        }
        issue(&database, "d", 1601 + REMEMBERED, 600, 100).unwrap();
        let left: i64 = database
            .query_row("SELECT count(*) FROM nonces", [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 1);
    }
}
