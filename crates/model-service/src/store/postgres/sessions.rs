//! Sessions and attempts to log in, in PostgreSQL.

use tokio_postgres::types::ToSql;

use super::connections::Repeat;
use super::database::PostgresStore;
use super::storable;
use crate::store::StoreError;
use crate::store::sessions::{ATTEMPTS, IDLE, MAX_SESSIONS};

/// Deletes the sessions that have ended, and the one that was idle longest if there are too many.
const START: &str = "
    WITH ended AS (DELETE FROM sessions WHERE used < clock_timestamp() - $3::float8 * interval '1 second'),
    idlest AS (
        DELETE FROM sessions WHERE cookie IN (SELECT cookie FROM sessions ORDER BY used DESC OFFSET $4::bigint)
    )
    INSERT INTO sessions VALUES ($1, $2, clock_timestamp())";

const USE: &str = "UPDATE sessions SET used = clock_timestamp()
    WHERE cookie = $1 AND used >= clock_timestamp() - $2::float8 * interval '1 second' RETURNING csrf";

/// Fills the bucket of the source with what came in since, and takes one.
const TAKE: &str = "
    INSERT INTO login_attempts AS a VALUES ($1, $2::float8 - 1, clock_timestamp())
    ON CONFLICT (source) DO UPDATE SET time = clock_timestamp(), attempts =
        least($2::float8, a.attempts + $2::float8 * extract(epoch FROM clock_timestamp() - a.time)::float8 / 60) - 1
    WHERE least($2::float8, a.attempts + $2::float8 * extract(epoch FROM clock_timestamp() - a.time)::float8 / 60) >= 1";

/// Deletes the sources whose buckets are full again: those are like unknown ones.
const FORGET: &str = "DELETE FROM login_attempts WHERE time < clock_timestamp() - interval '1 minute'";

const PUT_BACK: &str =
    "UPDATE login_attempts SET attempts = least($2::float8, attempts + 1) WHERE source = $1";

impl PostgresStore {
    pub(in crate::store) async fn start_session(&self, cookie: &str, csrf: &str) -> Result<(), StoreError> {
        let kept = MAX_SESSIONS as i64 - 1;
        let (cookie, csrf) = (cookie.to_owned(), csrf.to_owned());
        self.change_page(
            START,
            vec![Box::new(cookie), Box::new(csrf), idle(), Box::new(kept)],
        )
        .await
        .map(drop)
    }

    pub(in crate::store) async fn use_session(&self, cookie: &str) -> Result<Option<String>, StoreError> {
        let cookie = storable(cookie);
        self.run(Repeat::Always, move |client| {
            let cookie = cookie.clone();
            Box::pin(async move {
                let statement = client.prepare_cached(USE).await?;
                let row = client
                    .query_opt(&statement, &[&cookie, &IDLE.as_secs_f64()])
                    .await?;
                row.map(|row| row.try_get(0)).transpose()
            })
        })
        .await
    }

    pub(in crate::store) async fn end_session(&self, cookie: &str) -> Result<(), StoreError> {
        let end = "DELETE FROM sessions WHERE cookie = $1";
        self.change_page(end, vec![Box::new(storable(cookie))])
            .await
            .map(drop)
    }

    pub(in crate::store) async fn take_login_attempt(&self, source: &str) -> Result<bool, StoreError> {
        self.change_page(FORGET, Vec::new()).await?;
        let values: Vec<Box<dyn ToSql + Send + Sync>> =
            vec![Box::new(storable(source)), Box::new(f64::from(ATTEMPTS))];
        Ok(self.change_page(TAKE, values).await? > 0)
    }

    pub(in crate::store) async fn put_back_login_attempt(&self, source: &str) -> Result<(), StoreError> {
        let values: Vec<Box<dyn ToSql + Send + Sync>> =
            vec![Box::new(storable(source)), Box::new(f64::from(ATTEMPTS))];
        self.change_page(PUT_BACK, values).await.map(drop)
    }

    /// The key that all replicas have: `random` if it is the first one.
    pub(in crate::store) fn known_browser_key(&self, random: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        self.run_blocking(Repeat::Always, |client| {
            let random = random.clone();
            Box::pin(async move {
                let add = "INSERT INTO page_key VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
                client.execute(add, &[&random]).await?;
                let row = client.query_one("SELECT key FROM page_key", &[]).await?;
                row.try_get(0)
            })
        })
    }

    /// Runs a statement. Returns the number of rows that it changed.
    async fn change_page(
        &self,
        statement: &'static str,
        values: Vec<Box<dyn ToSql + Send + Sync>>,
    ) -> Result<u64, StoreError> {
        let values = std::sync::Arc::new(values);
        self.run(Repeat::AfterRollback, move |client| {
            let values = std::sync::Arc::clone(&values);
            Box::pin(async move {
                let statement = client.prepare_cached(statement).await?;
                let values: Vec<&(dyn ToSql + Sync)> =
                    values.iter().map(|value| value.as_ref() as _).collect();
                client.execute(&statement, &values).await
            })
        })
        .await
    }
}

fn idle() -> Box<dyn ToSql + Send + Sync> {
    Box::new(IDLE.as_secs_f64())
}
