//! The log of registrations in PostgreSQL.

use std::sync::Arc;

use super::batches::RunBatch;
use super::connections::{Connections, Repeat};
use super::database::PostgresStore;
use super::storable;
use crate::store::{LogEntry, StoreError};

const ADD: &str = "SELECT log_registrations($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

/// An entry, and how many of its class are kept.
pub(super) struct Entry {
    entry: LogEntry,
    kept: i64,
}

impl PostgresStore {
    pub(in crate::store) fn log_registration(&self, entry: LogEntry, limit: i64) -> Result<(), StoreError> {
        let entry = storable_entry(&entry);
        self.entries().run_blocking(Entry { entry, kept: limit })
    }
}

/// The entry as PostgreSQL can store it. A request can hold any character.
pub(super) fn storable_entry(entry: &LogEntry) -> LogEntry {
    LogEntry {
        time: entry.time,
        address: storable(&entry.address),
        brand: storable(&entry.brand),
        model: storable(&entry.model),
        serial: storable(&entry.serial),
        device: storable(&entry.device),
        outcome: storable(&entry.outcome),
        reason: storable(&entry.reason),
    }
}

/// Adds the entries of a batch. If the connection is lost, they may be there twice.
pub(super) fn entry_batches(connections: Arc<Connections>) -> RunBatch<Entry, ()> {
    Box::new(move |batch| {
        let connections = Arc::clone(&connections);
        Box::pin(async move {
            let added = connections
                .run(Repeat::Always, |client| {
                    let batch = Arc::clone(&batch);
                    Box::pin(async move {
                        let text = |field: fn(&LogEntry) -> &String| -> Vec<&str> {
                            batch.iter().map(|one| field(&one.entry).as_str()).collect()
                        };
                        let times: Vec<_> = batch.iter().map(|one| one.entry.time).collect();
                        let classes: Vec<_> = batch.iter().map(|one| one.entry.class()).collect();
                        let kept = batch.iter().map(|one| one.kept).min().unwrap_or_default();
                        let statement = client.prepare_cached(ADD).await?;
                        client
                            .execute(
                                &statement,
                                &[
                                    &times,
                                    &text(|entry| &entry.address),
                                    &text(|entry| &entry.brand),
                                    &text(|entry| &entry.model),
                                    &text(|entry| &entry.serial),
                                    &text(|entry| &entry.device),
                                    &text(|entry| &entry.outcome),
                                    &text(|entry| &entry.reason),
                                    &classes,
                                    &kept,
                                ],
                            )
                            .await
                    })
                })
                .await;
            added.map(|_| vec![(); batch.len()])
        })
    })
}
