//! Filling a PostgreSQL database with the rows of another one.

use std::pin::pin;

use axum::body::Bytes;
use deadpool_postgres::ClientWrapper;
use futures_util::{SinkExt as _, TryStreamExt as _};

use super::database::PostgresStore;
use crate::settings::PostgresqlSettings;
use crate::store::transfer::{RowHasher, Table, TableDigest};
use crate::store::{StoreError, transfer};

/// A transaction that fills the tables. Dropped without [`commit`](Self::commit), it stores
/// nothing.
pub(in crate::store) struct PostgresTransfer {
    store: PostgresStore,
    client: ClientWrapper,
}

impl PostgresTransfer {
    /// Creates the tables if the database has none, and lets nobody else write to them.
    pub(in crate::store) fn begin(url: &str, settings: &PostgresqlSettings) -> Result<Self, StoreError> {
        match PostgresStore::create(url, settings) {
            Ok(_) | Err(StoreError::SchemaExists { .. }) => {}
            Err(error) => return Err(error),
        }
        let store = PostgresStore::open(url, settings)?;
        let client = store.block_on(async {
            let client = store.connections().dedicated().await?;
            client
                .batch_execute(
                    "BEGIN; LOCK TABLE imports, identities, identity_texts, blocked_identities, serials, issued,
                        registrations, changes, session_key, nonces, ledger IN EXCLUSIVE MODE",
                )
                .await?;
            Ok(client)
        })?;
        Ok(Self { store, client })
    }

    /// Counts and hashes the rows of a table.
    pub(in crate::store) fn digest(&self, table: &Table) -> Result<TableDigest, StoreError> {
        let Table {
            name, postgres, key, ..
        } = table;
        let copy = format!("COPY (SELECT {postgres} FROM {name} ORDER BY {key}) TO STDOUT");
        self.store.block_on(async {
            let mut rows = pin!(self.client.copy_out(&copy).await?);
            let mut hasher = RowHasher::new();
            while let Some(lines) = rows.try_next().await? {
                hasher.add(&lines);
            }
            Ok(hasher.finish(name))
        })
    }

    /// Stores the rows that `source` gives. Returns true if there are any.
    pub(in crate::store) fn copy(
        &self,
        table: &Table,
        source: transfer::Source<'_>,
    ) -> Result<bool, StoreError> {
        let copy = format!("COPY {} ({}) FROM STDIN", table.name, table.columns);
        let sink = self
            .store
            .block_on(async { Ok(self.client.copy_in(&copy).await?) })?;
        let mut sink = pin!(sink);
        source(&mut |lines| {
            let lines = Bytes::copy_from_slice(lines);
            self.store.block_on(async { Ok(sink.send(lines).await?) })
        })?;
        self.store
            .block_on(async { Ok(sink.as_mut().finish().await? > 0) })
    }

    /// Lets new rows have numbers after those of the old ones, and commits.
    pub(in crate::store) fn commit(self) -> Result<(), StoreError> {
        let mut last = String::new();
        for (table, column) in [
            ("identities", "id"),
            ("issued", "id"),
            ("registrations", "id"),
            ("changes", "id"),
            ("nonces", "id"),
            ("ledger", "number"),
        ] {
            last.push_str(&format!(
                "SELECT setval(pg_get_serial_sequence('{table}', '{column}'), coalesce(max({column}), 0) + 1, false)
                FROM {table};"
            ));
        }
        for class in 0..3 {
            last.push_str(&format!(
                "SELECT setval('registrations_{class}', coalesce(max(number), 0) + 1, false)
                FROM registrations WHERE class = {class};"
            ));
        }
        self.store.block_on(async {
            self.client.batch_execute(&last).await?;
            self.client.batch_execute("COMMIT; ANALYZE").await?;
            Ok(())
        })
    }
}
