//! Statistics in SQLite.

use std::collections::BTreeMap;

use rusqlite::{Connection, params_from_iter};

use super::clock::Moment;
use super::database::SqliteStore;
use super::nonces;
use crate::store::statistics::DAY;
use crate::store::{Counts, DayCounts, RefusalCount, RegistrationFilter, StoreError};

impl SqliteStore {
    pub(in crate::store) async fn counts(&self) -> Result<Counts, StoreError> {
        let clock = self.clock();
        self.read(move |connection| counts(connection, (clock.now(), &clock.boot)))
            .await
    }

    pub(in crate::store) async fn registrations_since(
        &self,
        first: i64,
    ) -> Result<Vec<DayCounts>, StoreError> {
        self.read(move |connection| registrations_since(connection, first))
            .await
    }

    pub(in crate::store) async fn refusals_by_code(
        &self,
        filter: RegistrationFilter,
    ) -> Result<Vec<RefusalCount>, StoreError> {
        self.read(move |connection| refusals_by_code(connection, &filter))
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

/// The days on which something happened since `first`, which begins a day.
fn registrations_since(connection: &Connection, first: i64) -> rusqlite::Result<Vec<DayCounts>> {
    let mut days: BTreeMap<i64, DayCounts> = BTreeMap::new();
    let issued = "SELECT time / ?2 AS day, 0, count(*) FROM issued WHERE time >= ?1 GROUP BY day";
    let logged = "SELECT time / ?2 AS day, class, count(*) FROM registrations \
                  WHERE time >= ?1 AND class > 0 GROUP BY day, class";
    for sql in [issued, logged] {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([first, DAY])?;
        while let Some(row) = rows.next()? {
            let day = row.get::<_, i64>(0)? * DAY;
            let counts = days.entry(day).or_default();
            counts.day = day;
            *match row.get::<_, i64>(1)? {
                0 => &mut counts.issued,
                1 => &mut counts.repeated,
                _ => &mut counts.refused,
            } = row.get(2)?;
        }
    }
    Ok(days.into_values().collect())
}

fn refusals_by_code(
    connection: &Connection,
    filter: &RegistrationFilter,
) -> rusqlite::Result<Vec<RefusalCount>> {
    let conditions = filter.query().conditions;
    let sql = format!(
        "SELECT grouped.outcome, grouped.number, grouped.first, grouped.last, registrations.reason \
         FROM (SELECT outcome, count(*) AS number, min(time) AS first, max(time) AS last, max(id) AS newest \
               FROM registrations WHERE {} GROUP BY outcome) AS grouped \
         JOIN registrations ON registrations.id = grouped.newest \
         ORDER BY grouped.number DESC, grouped.outcome",
        conditions.sql()
    );
    connection
        .prepare_cached(&sql)?
        .query_map(params_from_iter(conditions.values), |row| {
            Ok(RefusalCount {
                code: row.get(0)?,
                count: row.get(1)?,
                first: row.get(2)?,
                last: row.get(3)?,
                message: row.get(4)?,
            })
        })?
        .collect()
}
