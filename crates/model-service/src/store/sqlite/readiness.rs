//! Whether the service can write.

use tokio::task::spawn_blocking;

use super::database::SqliteStore;
use super::files::{not_written, probe};
use super::ledger::Ledger;
use crate::store::StoreError;

impl SqliteStore {
    /// Checks that the database, and files beside it and the ledger, can be written.
    pub(in crate::store) async fn check_writable(&self) -> Result<(), StoreError> {
        self.last_probe().result(self.probe()).await
    }

    /// Writes to the database, and to files beside the database and the ledger, which are on the
    /// disk and removed again when this returns. A database alone may have room left in its
    /// files when the disk is full.
    async fn probe(&self) -> Result<(), StoreError> {
        let now = self.clock().now().wall;
        self.write(move |connection, _| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO readiness VALUES (1, ?1)")?
                .execute([now])
        })
        .await?;
        let store = self.clone();
        let probed = spawn_blocking(move || {
            let directory = store.directory();
            probe(directory).map_err(|reason| not_written(directory, &reason))?;
            Ok(Ledger::probe(&store.paths().ledger)?)
        });
        probed.await.unwrap_or(Err(StoreError::Interrupted))
    }
}
