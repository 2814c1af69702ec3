//! Statistics: what is stored, registrations of each day, refusals by code.

use super::{Backend, RegistrationFilter, Store, StoreError};

/// The seconds of a day.
pub(crate) const DAY: i64 = 24 * 60 * 60;

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
        let counted = match &self.0 {
            Backend::Sqlite(store) => store.registrations_since(first).await?,
            Backend::Postgres(store) => store.registrations_since(first).await?,
        };
        let found = |day| counted.iter().find(|counts| counts.day == day).copied();
        let days = (0..i64::from(days)).map(|number| first + DAY * number);
        Ok(days
            .map(|day| {
                found(day).unwrap_or(DayCounts {
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
        match &self.0 {
            Backend::Sqlite(store) => store.refusals_by_code(filter).await,
            Backend::Postgres(store) => store.refusals_by_code(filter).await,
        }
    }
}
