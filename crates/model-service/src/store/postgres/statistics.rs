//! Statistics in PostgreSQL.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::connections::Repeat;
use super::database::PostgresStore;
use super::lists::{parameters, unsigned, with_parameters};
use super::nonces;
use crate::store::statistics::DAY;
use crate::store::{Counts, DayCounts, RefusalCount, RegistrationFilter, StoreError};

impl PostgresStore {
    pub(in crate::store) async fn counts(&self) -> Result<Counts, StoreError> {
        self.run(Repeat::Always, |client| {
            Box::pin(async move {
                let counts = format!(
                    "SELECT
                        (SELECT coalesce(sum(added), 0)::bigint FROM imports),
                        (SELECT count(*) FROM blocked_identities),
                        (SELECT count(*) FROM serials),
                        (SELECT count(*) FROM issued),
                        (SELECT count(*) FROM nonces WHERE {}),
                        (SELECT count(*) FROM imports),
                        (SELECT count(*) FROM registrations),
                        (SELECT count(*) FROM registrations WHERE class = 2)",
                    nonces::OPEN
                );
                let row = client.query_one(&counts, &[]).await?;
                Ok(Counts {
                    // Identities are never deleted.
                    identities: unsigned(&row, 0)?,
                    blocked: unsigned(&row, 1)?,
                    serials: unsigned(&row, 2)?,
                    assertions: unsigned(&row, 3)?,
                    open_nonces: unsigned(&row, 4)?,
                    imports: unsigned(&row, 5)?,
                    logged: unsigned(&row, 6)?,
                    refused: unsigned(&row, 7)?,
                })
            })
        })
        .await
    }

    /// The days on which something happened since `first`, which begins a day.
    pub(in crate::store) async fn registrations_since(
        &self,
        first: i64,
    ) -> Result<Vec<DayCounts>, StoreError> {
        self.run(Repeat::Always, move |client| {
            Box::pin(async move {
                let count = "
                    SELECT time / $2 AS day, 0::bigint, count(*) FROM issued WHERE time >= $1 GROUP BY day
                    UNION ALL
                    SELECT time / $2 AS day, class, count(*) FROM registrations
                    WHERE time >= $1 AND class > 0 GROUP BY day, class";
                let rows = client.query(count, &[&first, &DAY]).await?;
                let mut days: BTreeMap<i64, DayCounts> = BTreeMap::new();
                for row in &rows {
                    let day = row.try_get::<_, i64>(0)? * DAY;
                    let counts = days.entry(day).or_default();
                    counts.day = day;
                    *match row.try_get::<_, i64>(1)? {
                        0 => &mut counts.issued,
                        1 => &mut counts.repeated,
                        _ => &mut counts.refused,
                    } = unsigned(row, 2)?;
                }
                Ok(days.into_values().collect())
            })
        })
        .await
    }

    pub(in crate::store) async fn refusals_by_code(
        &self,
        filter: RegistrationFilter,
    ) -> Result<Vec<RefusalCount>, StoreError> {
        let conditions = filter.query().conditions;
        let sql = with_parameters(&format!(
            "SELECT grouped.outcome, grouped.number, grouped.first, grouped.last, registrations.reason
             FROM (SELECT outcome, count(*) AS number, min(time) AS first, max(time) AS last, max(id) AS newest
                   FROM registrations WHERE {} GROUP BY outcome) AS grouped
             JOIN registrations ON registrations.id = grouped.newest
             ORDER BY grouped.number DESC, grouped.outcome",
            conditions.sql()
        ));
        self.run(Repeat::Always, move |client| {
            let (sql, values) = (sql.clone(), conditions.values.clone());
            Box::pin(async move {
                let statement = client.prepare_cached(&sql).await?;
                let rows = client.query(&statement, &parameters(&values)).await?;
                rows.iter().map(read_refusals).collect()
            })
        })
        .await
    }
}

fn read_refusals(row: &Row) -> Result<RefusalCount, tokio_postgres::Error> {
    Ok(RefusalCount {
        code: row.try_get(0)?,
        count: unsigned(row, 1)?,
        first: row.try_get(2)?,
        last: row.try_get(3)?,
        message: row.try_get(4)?,
    })
}
