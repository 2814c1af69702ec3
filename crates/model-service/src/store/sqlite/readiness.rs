//! Whether the service can write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::database::SqliteStore;
use super::files::{not_written, probe};
use super::ledger::Ledger;
use crate::store::StoreError;

/// How long the result of a probe is used: anybody can ask, and a probe writes to the disk.
const USED_FOR: Duration = Duration::from_secs(1);

/// The last probe, and when it ended.
pub(super) type LastProbe = Arc<Mutex<Option<(Instant, Result<(), StoreError>)>>>;

impl SqliteStore {
    /// Checks that the database, and files beside it and the ledger, can be written. One probe runs
    /// at a time; its result is that of all who ask meanwhile and in the second after it.
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
