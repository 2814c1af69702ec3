//! Whether the service can write to PostgreSQL.

use super::connections::Repeat;
use super::database::PostgresStore;
use crate::store::StoreError;

impl PostgresStore {
    /// Checks that the database can be written.
    pub(in crate::store) async fn check_writable(&self) -> Result<(), StoreError> {
        self.last_probe().result(self.probe()).await
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
