//! Statistics: what is stored, registrations of each day, refusals by code.

use std::collections::BTreeMap;

use super::columns::{Columns, FromColumns};
use super::conditions::Conditions;
use super::{Backend, RegistrationFilter, Store, StoreError};

/// The seconds of a day.
const DAY: i64 = 24 * 60 * 60;

/// How much is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Imported identities, counted by key digest and issuer.
    pub(crate) identities: u64,
    /// Blocked keys.
    pub(crate) blocked: u64,
    /// Serials that devices have.
    pub(crate) serials: u64,
    /// Assertions for serials.
    pub(crate) assertions: u64,
    /// Nonces that devices can still use.
    pub(crate) open_nonces: u64,
    pub(crate) imports: u64,
    /// Registrations in the log.
    pub(crate) logged: u64,
    /// Those of them that were refused.
    pub(crate) refused: u64,
}

impl FromColumns for Counts {
    fn read<C: Columns>(columns: &mut C) -> Result<Self, C::Error> {
        Ok(Self {
            identities: columns.count()?,
            blocked: columns.count()?,
            serials: columns.count()?,
            assertions: columns.count()?,
            open_nonces: columns.count()?,
            imports: columns.count()?,
            logged: columns.count()?,
            refused: columns.count()?,
        })
    }
}

/// The registrations of a day (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DayCounts {
    /// When the day begins, in seconds since the epoch.
    pub(crate) day: i64,
    /// Assertions that were issued.
    pub(crate) issued: u64,
    /// Of the registrations in the log, those that got an earlier assertion again.
    pub(crate) repeated: u64,
    /// Of the registrations in the log, those that were refused.
    pub(crate) refused: u64,
}

/// The registrations of a class on a day.
pub(super) struct ClassCount {
    /// The number of the day since the epoch.
    day: i64,
    /// As in the schemas.
    class: i64,
    count: u64,
}

impl ClassCount {
    /// Counts those of the days since a time, of which it needs the seconds and those of a day.
    pub(super) const QUERY: &str = "SELECT time / ?2 AS day, 0 AS class, count(*) FROM issued
         WHERE time >= ?1 GROUP BY day
         UNION ALL SELECT time / ?2 AS day, class, count(*) FROM registrations
         WHERE time >= ?1 AND class > 0 GROUP BY day, class";

    /// The parameters of [`QUERY`](Self::QUERY).
    pub(super) fn since(first: i64) -> [i64; 2] {
        [first, DAY]
    }
}

impl FromColumns for ClassCount {
    fn read<C: Columns>(columns: &mut C) -> Result<Self, C::Error> {
        Ok(Self {
            day: columns.integer()?,
            class: columns.integer()?,
            count: columns.count()?,
        })
    }
}

/// The counts of each day on which something happened, by its beginning.
fn by_day(counts: Vec<ClassCount>) -> BTreeMap<i64, DayCounts> {
    let mut days: BTreeMap<i64, DayCounts> = BTreeMap::new();
    for ClassCount { day, class, count } in counts {
        let day = day * DAY;
        let counts = days.entry(day).or_default();
        counts.day = day;
        *match class {
            0 => &mut counts.issued,
            1 => &mut counts.repeated,
            _ => &mut counts.refused,
        } = count;
    }
    days
}

/// Refusals with the same code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusalCount {
    pub(crate) code: String,
    pub(crate) count: u64,
    /// The time of the first one, in seconds since the epoch.
    pub(crate) first: i64,
    /// The time of the last one.
    pub(crate) last: i64,
    /// Cause and advice of the last one.
    pub(crate) message: String,
}

impl FromColumns for RefusalCount {
    fn read<C: Columns>(columns: &mut C) -> Result<Self, C::Error> {
        Ok(Self {
            code: columns.text()?,
            count: columns.count()?,
            first: columns.integer()?,
            last: columns.integer()?,
            message: columns.text()?,
        })
    }
}

impl RefusalCount {
    /// Groups the registrations that meet the conditions.
    pub(super) fn query(conditions: &Conditions) -> String {
        format!(
            "SELECT grouped.outcome, grouped.number, grouped.first, grouped.last, registrations.reason
             FROM (SELECT outcome, count(*) AS number, min(time) AS first, max(time) AS last, max(id) AS newest
                   FROM registrations WHERE {} GROUP BY outcome) AS grouped
             JOIN registrations ON registrations.id = grouped.newest
             ORDER BY grouped.number DESC, grouped.outcome",
            conditions.sql()
        )
    }
}

impl Store {
    /// Counts what is stored. With millions of serials this takes seconds.
    pub(crate) async fn counts(&self) -> Result<Counts, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.counts().await,
            Backend::Postgres(store) => store.counts().await,
        }
    }

    /// The registrations of the last `days` days up to `now`, oldest day first, days without any
    /// too.
    pub(crate) async fn registrations_per_day(
        &self,
        now: i64,
        days: u32,
    ) -> Result<Vec<DayCounts>, StoreError> {
        let today = now.div_euclid(DAY) * DAY;
        let first = today - DAY * (i64::from(days) - 1);
        let mut counted = by_day(match &self.0 {
            Backend::Sqlite(store) => store.registrations_since(first).await?,
            Backend::Postgres(store) => store.registrations_since(first).await?,
        });
        let days = (0..i64::from(days)).map(|number| first + DAY * number);
        Ok(days
            .map(|day| {
                counted.remove(&day).unwrap_or(DayCounts {
                    day,
                    ..DayCounts::default()
                })
            })
            .collect())
    }

    /// The refused registrations in the log that match, by code, most frequent first.
    pub(crate) async fn refusals_by_code(
        &self,
        filter: RegistrationFilter,
    ) -> Result<Vec<RefusalCount>, StoreError> {
        let filter = RegistrationFilter {
            class: Some(super::OutcomeClass::Refused),
            ..filter
        };
        let conditions = filter.query().conditions;
        match &self.0 {
            Backend::Sqlite(store) => store.refusals_by_code(conditions).await,
            Backend::Postgres(store) => store.refusals_by_code(conditions).await,
        }
    }
}
