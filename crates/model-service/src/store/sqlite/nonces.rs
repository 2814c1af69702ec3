//! Nonces in SQLite.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::clock::Moment;
use super::database::SqliteStore;
use crate::store::conditions::Conditions;
use crate::store::lists::ListQuery;
use crate::store::nonces::KEPT_AFTER_EXPIRY;
use crate::store::{NonceFilter, NonceKind, NonceState, NonceStatus, StoreError};

/// A nonce is open at ?1 (seconds since the epoch) in the boot ?2 with the uptime ?3. It is valid
/// in a window around its issue on both clocks, so that setting the clock makes no nonce valid
/// again. Five seconds backwards are the correction of a clock.
const OPEN: &str = "used = 0 AND expires > ?1 AND issued <= ?1 + 5 AND boot = ?2 AND uptime <= ?3
     AND uptime + expires - issued > ?3";

impl SqliteStore {
    pub(in crate::store) async fn issue_nonce(
        &self,
        kind: NonceKind,
        nonce: &str,
        seconds: i64,
        limit: i64,
    ) -> Result<(), StoreError> {
        let (nonce, clock) = (nonce.to_owned(), self.clock());
        self.write(move |connection, _| {
            let now = (clock.now(), clock.boot.as_str());
            issue(connection, kind, &nonce, now, seconds, limit)
        })
        .await
    }

    pub(in crate::store) fn consume_nonce(
        &self,
        kind: NonceKind,
        nonce: &str,
    ) -> Result<NonceState, StoreError> {
        let (nonce, clock) = (nonce.to_owned(), self.clock());
        self.write_blocking(move |connection, _| {
            consume(connection, kind, &nonce, (clock.now(), &clock.boot))
        })
    }
}

fn issue(
    connection: &Connection,
    kind: NonceKind,
    nonce: &str,
    (now, boot): (Moment, &str),
    seconds: i64,
    limit: i64,
) -> rusqlite::Result<()> {
    let table = kind.table();
    connection
        .prepare_cached(&format!(
            "INSERT INTO {table} (nonce, expires, issued, boot, uptime) VALUES (?1, ?2, ?3, ?4, ?5)"
        ))?
        .execute(params![nonce, now.wall + seconds, now.wall, boot, now.uptime])?;
    let id = connection.last_insert_rowid();
    connection
        .prepare_cached(&format!("DELETE FROM {table} WHERE id <= ?1"))?
        .execute([id - limit])?;
    // A few of the oldest are enough: each new nonce deletes more than one.
    connection
        .prepare_cached(&format!(
            "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY id LIMIT 4) AND expires < ?1"
        ))?
        .execute([now.wall - KEPT_AFTER_EXPIRY])?;
    Ok(())
}

fn consume(
    connection: &Connection,
    kind: NonceKind,
    nonce: &str,
    (now, boot): (Moment, &str),
) -> rusqlite::Result<NonceState> {
    let table = kind.table();
    let consumed = connection
        .prepare_cached(&format!(
            "UPDATE {table} SET used = 1 WHERE nonce = ?4 AND {OPEN}"
        ))?
        .execute(params![now.wall, boot, now.uptime, nonce])?;
    if consumed == 1 {
        return Ok(NonceState::Consumed);
    }
    let used = connection
        .prepare_cached(&format!("SELECT used FROM {table} WHERE nonce = ?1"))?
        .query_row([nonce], |row| row.get::<_, bool>(0))
        .optional()?;
    Ok(match used {
        None => NonceState::Unknown,
        Some(true) => NonceState::Used,
        Some(false) => NonceState::Expired,
    })
}

pub(super) fn count_open(connection: &Connection, (now, boot): (Moment, &str)) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(&format!("SELECT count(*) FROM nonces WHERE {OPEN}"))?
        .query_row(params![now.wall, boot, now.uptime], |row| row.get(0))
}

/// The list of nonces: id, first characters, times, whether they are used and whether they are open.
pub(super) fn list_query(filter: NonceFilter, (now, boot): (Moment, &str)) -> ListQuery {
    let mut conditions = Conditions::default();
    // The parameters of OPEN.
    conditions.values = vec![now.wall.into(), boot.into(), now.uptime.into()];
    match filter.status {
        // All parameters have to be in the query.
        None => conditions.add("?1 = ?1 AND ?2 = ?2 AND ?3 = ?3"),
        Some(NonceStatus::Open) => conditions.add(OPEN),
        Some(NonceStatus::Used) => conditions.add("used = 1 AND ?1 = ?1 AND ?2 = ?2 AND ?3 = ?3"),
        Some(NonceStatus::Expired) => conditions.add(&format!("used = 0 AND NOT ({OPEN})")),
    }
    ListQuery {
        columns: format!("id, substr(nonce, 1, 12), issued, expires, used, {OPEN}"),
        from: "nonces",
        id: "id",
        conditions,
    }
}

#[cfg(test)]
mod tests {
    use super::super::database::in_memory;
    use super::*;
    use NonceState::{Consumed, Expired, Unknown, Used};

    const KIND: NonceKind = NonceKind::Session;

    /// A moment on both clocks.
    fn at(wall: i64, uptime: i64) -> (Moment, &'static str) {
        (Moment { wall, uptime }, "boot")
    }

    #[test]
    fn a_nonce_is_valid_once_and_until_it_expires() {
        let database = in_memory();
        for nonce in ["used", "late"] {
            issue(&database, KIND, nonce, at(1000, 0), 600, 10).unwrap();
        }
        let states: Vec<_> = [("used", 599), ("used", 599), ("late", 600), ("other", 0)]
            .iter()
            .map(|(nonce, later)| consume(&database, KIND, nonce, at(1000 + later, *later)).unwrap())
            .collect();
        assert_eq!(states, [Consumed, Used, Expired, Unknown]);
    }

    #[test]
    fn setting_the_clock_does_not_make_a_nonce_valid() {
        let database = in_memory();
        for (nonce, wall, uptime, state) in [
            ("set back after the expiry", 1100, 700, Expired),
            ("set back before the issue", 500, 100, Expired),
            ("set forward", 1600, 100, Expired),
            ("another boot with less uptime", 1100, -1, Expired),
            ("corrected by some seconds", 997, 1, Consumed),
        ] {
            issue(&database, KIND, nonce, at(1000, 0), 600, 10).unwrap();
            assert_eq!(
                consume(&database, KIND, nonce, at(wall, uptime)).unwrap(),
                state,
                "{nonce}"
            );
        }
        issue(&database, KIND, "boot", at(1000, 0), 600, 10).unwrap();
        let other = (at(1100, 100).0, "another boot");
        assert_eq!(consume(&database, KIND, "boot", other).unwrap(), Expired);
    }

    #[test]
    fn the_oldest_are_deleted_for_new_ones() {
        let database = in_memory();
        for nonce in ["a", "b", "c", "d"] {
            issue(&database, KIND, nonce, at(1000, 0), 600, 3).unwrap();
        }
        let count = "SELECT count(*) FROM session_nonces";
        let count: i64 = database.query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(count, 3);
        // Those of the other kind are not counted, and not valid for this one.
        assert_eq!(count_open(&database, at(1000, 0)).unwrap(), 0);
        let other = consume(&database, NonceKind::Registration, "b", at(1000, 0));
        assert_eq!(other.unwrap(), Unknown);
        assert_eq!(consume(&database, KIND, "a", at(1000, 0)).unwrap(), Unknown);
    }

    #[test]
    fn expired_nonces_are_deleted_after_a_day() {
        let database = in_memory();
        for nonce in ["a", "b", "c"] {
            issue(&database, KIND, nonce, at(1000, 0), 600, 100).unwrap();
        }
        let later = 601 + KEPT_AFTER_EXPIRY;
        issue(&database, KIND, "d", at(1000 + later, later), 600, 100).unwrap();
        let left: i64 = database
            .query_row("SELECT count(*) FROM session_nonces", [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 1);
    }
}
