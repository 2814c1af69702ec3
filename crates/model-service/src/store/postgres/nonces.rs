//! Nonces in PostgreSQL. Their time is the database's, which is the same for all replicas.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use aws_lc_rs::rand;

use super::batches::RunBatch;
use super::connections::{Connections, Repeat};
use super::database::PostgresStore;
use super::storable;
use crate::store::conditions::Conditions;
use crate::store::lists::ListQuery;
use crate::store::nonces::KEPT_AFTER_EXPIRY;
use crate::store::{NonceFilter, NonceState, NonceStatus, StoreError};

/// Adds nonces, deletes those beyond the limit, and a few of the oldest if they expired long ago:
/// each new nonce deletes more than one. Skips those that another replica deletes.
const ISSUE: &str = "
    WITH added AS (
        INSERT INTO nonces (nonce, issued, expires)
        SELECT n.nonce, epoch_seconds(), epoch_seconds() + n.seconds
        FROM unnest($1::text[], $2::bigint[]) AS n (nonce, seconds)
        ON CONFLICT (nonce) DO NOTHING
        RETURNING id
    ), beyond AS MATERIALIZED (
        SELECT id FROM nonces WHERE id <= (SELECT max(id) FROM added) - $3 FOR UPDATE SKIP LOCKED
    ), oldest AS MATERIALIZED (
        SELECT id, expires FROM nonces ORDER BY id LIMIT $4
    ), expired AS MATERIALIZED (
        SELECT id FROM nonces
        WHERE id = ANY (ARRAY(SELECT o.id FROM oldest o WHERE o.expires < epoch_seconds() - $5))
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM nonces WHERE id = ANY (ARRAY(SELECT id FROM beyond UNION ALL SELECT id FROM expired))";

/// Uses nonces for the attempt $2. Locks them in one order, so that replicas do not wait for each
/// other in a circle.
const USE: &str = "
    WITH found AS MATERIALIZED (
        SELECT id, nonce, used_by, expires > epoch_seconds() AS valid FROM nonces
        WHERE nonce = ANY ($1::text[]) ORDER BY nonce FOR UPDATE
    ), used AS (
        UPDATE nonces SET used_by = $2 FROM found
        WHERE nonces.id = found.id AND found.used_by IS NULL AND found.valid
    )
    SELECT nonce, CASE
        WHEN used_by = $2 THEN 'consumed'
        WHEN used_by IS NOT NULL THEN 'used'
        WHEN valid THEN 'consumed'
        ELSE 'expired'
    END FROM found";

/// The condition that a nonce can be used.
pub(super) const OPEN: &str = "used_by IS NULL AND expires > epoch_seconds()";

/// A nonce to issue.
pub(super) struct NewNonce {
    nonce: String,
    seconds: i64,
    limit: i64,
}

impl PostgresStore {
    pub(in crate::store) async fn issue_nonce(
        &self,
        nonce: &str,
        seconds: i64,
        limit: i64,
    ) -> Result<(), StoreError> {
        let nonce = nonce.to_owned();
        self.new_nonces()
            .run(NewNonce {
                nonce,
                seconds,
                limit,
            })
            .await
    }

    pub(in crate::store) fn consume_nonce(&self, nonce: &str) -> Result<NonceState, StoreError> {
        self.used_nonces().run_blocking(storable(nonce))
    }
}

/// The list of nonces. The last column is true for nonces that are open unless they were used.
pub(super) fn list_query(filter: NonceFilter) -> ListQuery {
    let mut conditions = Conditions::default();
    match filter.status {
        None => {}
        Some(NonceStatus::Used) => conditions.add("used_by IS NOT NULL"),
        Some(NonceStatus::Open) => conditions.add(OPEN),
        Some(NonceStatus::Expired) => conditions.add("used_by IS NULL AND expires <= epoch_seconds()"),
    }
    ListQuery {
        columns: "id, substr(nonce, 1, 12), issued, expires, used_by IS NOT NULL, expires > epoch_seconds()"
            .to_owned(),
        from: "nonces",
        id: "id",
        conditions,
    }
}

/// Issues the nonces of a batch. The unique nonces make it safe to repeat.
pub(super) fn issue_batches(connections: Arc<Connections>) -> RunBatch<NewNonce, ()> {
    Box::new(move |batch| {
        let connections = Arc::clone(&connections);
        Box::pin(async move {
            let issued = connections
                .run(Repeat::Always, |client| {
                    let batch = Arc::clone(&batch);
                    Box::pin(async move {
                        let nonces: Vec<_> = batch.iter().map(|new| new.nonce.as_str()).collect();
                        let seconds: Vec<_> = batch.iter().map(|new| new.seconds).collect();
                        let limit = batch.iter().map(|new| new.limit).min().unwrap_or(i64::MAX);
                        let looked_at = 4 * batch.len() as i64;
                        let statement = client.prepare_cached(ISSUE).await?;
                        client
                            .execute(
                                &statement,
                                &[&nonces, &seconds, &limit, &looked_at, &KEPT_AFTER_EXPIRY],
                            )
                            .await
                    })
                })
                .await;
            issued.map(|_| vec![(); batch.len()])
        })
    })
}

/// Uses the nonces of a batch. The number of the attempt makes it safe to repeat: one that was
/// committed before the connection was lost finds its own number.
pub(super) fn use_batches(connections: Arc<Connections>) -> RunBatch<String, NonceState> {
    Box::new(move |batch| {
        let connections = Arc::clone(&connections);
        Box::pin(async move {
            let mut number = [0; 8];
            rand::fill(&mut number).map_err(|_| StoreError::Interrupted)?;
            let attempt = i64::from_le_bytes(number);
            let rows = connections
                .run(Repeat::Always, |client| {
                    let batch = Arc::clone(&batch);
                    Box::pin(async move {
                        let statement = client.prepare_cached(USE).await?;
                        let rows = client.query(&statement, &[batch.as_ref(), &attempt]).await?;
                        let pairs = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
                        pairs.collect::<Result<HashMap<String, String>, tokio_postgres::Error>>()
                    })
                })
                .await?;
            Ok(states(&batch, rows))
        })
    })
}

/// The state of each nonce of a batch. Of equal nonces, the first one is consumed.
fn states(batch: &[String], mut found: HashMap<String, String>) -> Vec<NonceState> {
    let mut state = |nonce: &String| match found.entry(nonce.clone()) {
        Entry::Vacant(_) => NonceState::Unknown,
        Entry::Occupied(mut state) => match state.insert("used".to_owned()).as_str() {
            "consumed" => NonceState::Consumed,
            "used" => NonceState::Used,
            other => {
                state.insert(other.to_owned());
                NonceState::Expired
            }
        },
    };
    batch.iter().map(&mut state).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_nonces_in_a_batch_one_is_consumed() {
        let batch = ["a", "a", "b", "b", "c"].map(str::to_owned);
        let found = [("a", "consumed"), ("b", "expired")].map(|(nonce, state)| (nonce.into(), state.into()));
        use NonceState::{Consumed, Expired, Unknown, Used};
        assert_eq!(
            states(&batch, found.into_iter().collect()),
            [Consumed, Used, Expired, Expired, Unknown]
        );
    }
}
