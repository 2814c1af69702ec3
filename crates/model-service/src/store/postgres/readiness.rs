//! Whether the service can write to PostgreSQL.

use std::time::{Duration, Instant};

use super::connections::Repeat;
use super::database::PostgresStore;
use crate::store::StoreError;

/// How long the result of a probe is used: anybody can ask, and a probe writes.
const USED_FOR: Duration = Duration::from_secs(1);

/// The last probe, and when it ended.
pub(super) type LastProbe = Option<(Instant, Result<(), StoreError>)>;

impl PostgresStore {
    /// Checks that the database can be written. One probe runs at a time; its result is that of all
    /// who ask meanwhile and in the second after it.
    pub(in crate::store) async fn check_writable(&self) -> Result<(), StoreError> {
        let mut last = self.last_probe().lock().await;
        match last.as_ref() {
            Some((time, result)) if time.elapsed() < USED_FOR => result.clone(),
            _ => {
                let result = self.probe().await;
                *last = Some((Instant::now(), result.clone()));
                result
            }
        }
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.run(Repeat::Never, |client| {
            Box::pin(async move {
                let write = "INSERT INTO readiness VALUES (1, epoch_seconds())
                    ON CONFLICT (id) DO UPDATE SET time = excluded.time";
                let statement = client.prepare_cached(write).await?;
                client.execute(&statement, &[]).await.map(drop)
            })
        })
        .await
    }
}
