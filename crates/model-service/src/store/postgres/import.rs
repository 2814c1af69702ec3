//! Writing hardware identities to PostgreSQL: all identities of an import in one transaction.
//!
//! Identities arrive in batches, and each batch is one statement with an array for each column:
//! that costs a round trip less than COPY into a temporary table, and no planning.

use std::cell::Cell;
use std::collections::HashSet;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Row};

use super::connections::describe;
use super::database::PostgresStore;
use super::ledger::{append, json};
use super::{bigint, storable};
use crate::store::{
    Event, IdentityRecord, ImportOrigin, StoreError, StoredCounts, UpsertOutcome, UpsertResult,
};

/// The key of the lock that one import has while it stores.
const LOCK: i64 = 0x696D_706F_7274;
/// How long an import waits for another one before it looks whether it has to end.
const WAIT: &str = "1s";
/// What else the transaction sets: its batches are large and joined with each other.
const JOINS: &str =
    "SET LOCAL lock_timeout = DEFAULT; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on";
/// After how many identities an import analyzes the tables, and by which factor that grows.
const FIRST_ANALYSIS: usize = 1024;
const BETWEEN_ANALYSES: usize = 8;

/// Stores identities, no two with the same digest or the same hardware-id. The digest of the oldest
/// identity with the same hardware-id and another key is the one that was there before, and was not
/// replaced earlier in this batch.
const UPSERT: &str = "
    WITH incoming AS MATERIALIZED (
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[],
                $8::text[])
            WITH ORDINALITY AS i (issuer, digest, key_digest, revision, hardware_id, hardware_name,
                manufacturer, text, place)
    ), stored AS MATERIALIZED (
        SELECT i.place, s.id, s.revision AS before, i.revision, i.hardware_id, t.text = i.text AS same
        FROM incoming i
        JOIN identities s ON s.digest = i.digest AND s.issuer = i.issuer
        JOIN identity_texts t ON t.id = s.id
    ), added AS (
        INSERT INTO identities
            (issuer, digest, key_digest, revision, hardware_id, hardware_name, manufacturer, imported, import)
        SELECT i.issuer, i.digest, i.key_digest, i.revision, i.hardware_id, i.hardware_name, i.manufacturer,
            $9, $10
        FROM incoming i WHERE NOT EXISTS (SELECT FROM stored s WHERE s.place = i.place) ORDER BY i.place
        RETURNING id, issuer, digest
    ), added_texts AS (
        INSERT INTO identity_texts SELECT a.id, i.text FROM added a JOIN incoming i USING (issuer, digest)
    ), replaced AS (
        UPDATE identities SET key_digest = i.key_digest, revision = i.revision, hardware_id = i.hardware_id,
            hardware_name = i.hardware_name, manufacturer = i.manufacturer, imported = $9,
            import = $10
        FROM incoming i JOIN stored s USING (place)
        WHERE identities.id = s.id AND s.before < s.revision
    ), replaced_texts AS (
        UPDATE identity_texts SET text = i.text FROM incoming i JOIN stored s USING (place)
        WHERE identity_texts.id = s.id AND s.before < s.revision
    )
    SELECT
        CASE
            WHEN s.place IS NULL THEN 'new'
            WHEN s.before < s.revision THEN 'replaced'
            WHEN s.before > s.revision THEN 'older'
            WHEN s.same THEN 'present'
            ELSE 'conflict'
        END,
        CASE WHEN s.place IS NULL OR s.before < s.revision THEN (
            SELECT o.digest FROM identities o
            WHERE o.hardware_id = i.hardware_id AND o.issuer = i.issuer AND o.key_digest <> i.key_digest
            AND NOT EXISTS (
                SELECT FROM stored r WHERE r.id = o.id AND r.place < i.place AND r.before < r.revision
                AND r.hardware_id <> i.hardware_id
            )
            ORDER BY o.id LIMIT 1
        ) END
    FROM incoming i LEFT JOIN stored s USING (place) ORDER BY i.place";

/// A transaction that stores identities. Dropped without [`commit`](Self::commit), it stores
/// nothing: its connection is closed.
pub(crate) struct ImportTransaction {
    store: PostgresStore,
    client: ClientWrapper,
    number: i64,
    now: i64,
    /// Identities that were given to it, and how many were when it analyzed the tables last.
    given: Cell<usize>,
    analyzed: Cell<usize>,
}

impl PostgresStore {
    pub(in crate::store) fn begin_import(&self, now: i64) -> Result<ImportTransaction, StoreError> {
        let (client, number) = self.block_on(async {
            let client = self.connections().dedicated().await?;
            let begin =
                format!("BEGIN; SET LOCAL lock_timeout = '{WAIT}'; SELECT pg_advisory_xact_lock({LOCK})");
            client.batch_execute(&begin).await.map_err(running)?;
            client.batch_execute(JOINS).await?;
            // One import at a time, so that no number is missing.
            let add = "INSERT INTO imports SELECT coalesce(max(number), 0) + 1, $1, '', '', 0, 0, 0, 0
                FROM imports RETURNING number";
            let number = client.query_one(add, &[&now]).await?.try_get(0)?;
            Ok((client, number))
        })?;
        Ok(ImportTransaction {
            store: self.clone(),
            client,
            number,
            now,
            given: Cell::new(0),
            analyzed: Cell::new(FIRST_ANALYSIS / BETWEEN_ANALYSES),
        })
    }
}

/// The error of a transaction that did not get the lock in time: another import runs.
fn running(error: Error) -> StoreError {
    match error.code() {
        Some(&SqlState::LOCK_NOT_AVAILABLE) => StoreError::ImportRunning,
        _ => error.into(),
    }
}

impl ImportTransaction {
    pub(in crate::store) fn upsert_identities(
        &self,
        identities: &[IdentityRecord],
    ) -> Result<Vec<UpsertResult>, StoreError> {
        let mut results = Vec::with_capacity(identities.len());
        let mut rest = identities;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(distinct(rest));
            results.extend(self.upsert(batch)?);
            rest = later;
        }
        self.given.set(self.given.get() + identities.len());
        self.analyze()?;
        Ok(results)
    }

    /// Lets the planner know how large the tables have become: it may have planned for empty ones.
    fn analyze(&self) -> Result<(), StoreError> {
        if self.given.get() < self.analyzed.get() * BETWEEN_ANALYSES {
            return Ok(());
        }
        self.analyzed.set(self.given.get());
        self.store.block_on(async {
            self.client
                .batch_execute("ANALYZE identities, identity_texts")
                .await?;
            Ok(())
        })
    }

    fn upsert(&self, batch: &[IdentityRecord]) -> Result<Vec<UpsertResult>, StoreError> {
        let text = |field: fn(&IdentityRecord) -> &String| -> Vec<&str> {
            batch.iter().map(|identity| field(identity).as_str()).collect()
        };
        let revisions: Vec<_> = batch.iter().map(|identity| bigint(identity.revision)).collect();
        let rows = self.store.block_on(async {
            let statement = self.client.prepare_cached(UPSERT).await?;
            let rows = self
                .client
                .query(
                    &statement,
                    &[
                        &text(|identity| &identity.issuer),
                        &text(|identity| &identity.digest),
                        &text(|identity| &identity.key_digest),
                        &revisions,
                        &text(|identity| &identity.hardware_id),
                        &text(|identity| &identity.hardware_name),
                        &text(|identity| &identity.manufacturer),
                        &text(|identity| &identity.assertion),
                        &self.now,
                        &self.number,
                    ],
                )
                .await?;
            Ok(rows)
        })?;
        Ok(rows.iter().map(read_result).collect::<Result<_, _>>()?)
    }

    pub(in crate::store) fn commit(
        self,
        counts: StoredCounts,
        origin: &ImportOrigin,
    ) -> Result<(), StoreError> {
        let event = json(&Event::import(counts, &origin.by))?;
        let [new, replaced, present, older] =
            [counts.new, counts.replaced, counts.present, counts.older].map(bigint);
        let (by, name) = (storable(&origin.by), storable(&origin.name));
        self.store.block_on(async {
            let record = "UPDATE imports SET author = $2, name = $3, added = $4, replaced = $5, present = $6,
                older = $7 WHERE number = $1";
            self.client
                .execute(
                    record,
                    &[&self.number, &by, &name, &new, &replaced, &present, &older],
                )
                .await?;
            if counts.changed() {
                append(&self.client, &event).await?;
            }
            let committed = self.client.batch_execute("COMMIT").await;
            committed.map_err(|error| StoreError::ResultUnknown(describe(&error)))
        })
    }
}

/// The number of identities before the first one with the digest or the hardware-id of another.
fn distinct(identities: &[IdentityRecord]) -> usize {
    let (mut digests, mut hardware_ids) = (HashSet::new(), HashSet::new());
    let repeats = |identity: &IdentityRecord| {
        let new_digest = digests.insert((identity.digest.clone(), identity.issuer.clone()));
        let new_id = hardware_ids.insert((identity.hardware_id.clone(), identity.issuer.clone()));
        !(new_digest && new_id)
    };
    identities.iter().position(repeats).unwrap_or(identities.len())
}

fn read_result(row: &Row) -> Result<UpsertResult, Error> {
    let outcome = match row.try_get(0)? {
        "new" => UpsertOutcome::New,
        "replaced" => UpsertOutcome::Replaced,
        "older" => UpsertOutcome::Older,
        "present" => UpsertOutcome::Present,
        _ => UpsertOutcome::Conflict,
    };
    Ok(UpsertResult {
        outcome,
        other_key: row.try_get(1)?,
    })
}
