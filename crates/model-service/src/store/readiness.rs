//! Whether the service can write.

use tokio::task::spawn_blocking;

use super::database::Store;
use super::error::StoreError;
use super::files::{not_written, probe};
use super::ledger::Ledger;

impl Store {
    /// Writes to the database, and to files beside the database and the ledger, which are on the
    /// disk and removed again when this returns. A database alone may have room left in its
    /// files when the disk is full.
    pub(crate) async fn check_writable(&self) -> Result<(), StoreError> {
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
