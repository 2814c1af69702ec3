//! Whether the service can write.

use tokio::task::spawn_blocking;

use super::database::Store;
use super::error::StoreError;
use super::files::not_written;
use super::ledger::Ledger;

/// More than SQLite writes for a registration.
const PROBE: [u8; 64 * 1024] = [0; 64 * 1024];

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
            probe(&store)?;
            Ok(Ledger::probe(&store.paths().ledger)?)
        });
        probed.await.unwrap_or(Err(StoreError::Interrupted))
    }
}

fn probe(store: &Store) -> Result<(), StoreError> {
    use std::io::Write as _;
    let written = tempfile::tempfile_in(store.directory()).and_then(|mut file| {
        file.write_all(&PROBE)?;
        file.sync_all()
    });
    written.map_err(|reason| not_written(store.directory(), &reason))
}
