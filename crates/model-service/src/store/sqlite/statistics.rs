//! Statistics in SQLite.

use rusqlite::{Connection, params_from_iter};

use super::clock::Moment;
use super::columns::read;
use super::database::SqliteStore;
use super::nonces;
use crate::store::conditions::Conditions;
use crate::store::statistics::ClassCount;
use crate::store::{Counts, RefusalCount, StoreError};

impl SqliteStore {
    pub(in crate::store) async fn counts(&self) -> Result<Counts, StoreError> {
        let clock = self.clock();
        self.read(move |connection| counts(connection, (clock.now(), &clock.boot)))
            .await
    }

    pub(in crate::store) async fn registrations_since(
        &self,
        first: i64,
    ) -> Result<Vec<ClassCount>, StoreError> {
        self.read(move |connection| {
            connection
                .prepare_cached(ClassCount::QUERY)?
                .query_map(ClassCount::since(first), read)?
                .collect()
        })
        .await
    }

    pub(in crate::store) async fn refusals_by_code(
        &self,
        conditions: Conditions,
    ) -> Result<Vec<RefusalCount>, StoreError> {
        self.read(move |connection| {
            connection
                .prepare_cached(&RefusalCount::query(&conditions))?
                .query_map(params_from_iter(conditions.values), read)?
                .collect()
        })
        .await
    }
}

fn counts(connection: &Connection, now: (Moment, &str)) -> rusqlite::Result<Counts> {
    let count = |sql: &str| connection.prepare_cached(sql)?.query_row([], |row| row.get(0));
    Ok(Counts {
        // Identities are never deleted.
        identities: count("SELECT coalesce(sum(added), 0) FROM imports")?,
        blocked: count("SELECT count(*) FROM blocked_identities")?,
        serials: count("SELECT count(*) FROM serials")?,
        // Nor are assertions.
        assertions: count("SELECT coalesce(max(id), 0) FROM issued")?,
        open_nonces: nonces::count_open(connection, now)?,
        imports: count("SELECT count(*) FROM imports")?,
        logged: count("SELECT count(*) FROM registrations")?,
        refused: count("SELECT count(*) FROM registrations WHERE class = 2")?,
    })
}
