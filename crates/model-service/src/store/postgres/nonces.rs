//! Nonces in PostgreSQL. Their time is the database's, which is the same for all replicas.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::batches::{Batches, RunBatch};
use super::connections::{Connections, Repeat};
use super::database::PostgresStore;
use super::storable;
use crate::store::conditions::Conditions;
use crate::store::lists::ListQuery;
use crate::store::nonces::KEPT_AFTER_EXPIRY;
use crate::store::{NonceFilter, NonceKind, NonceState, NonceStatus, StoreError};

/// Adds nonces to the table of a kind (`TABLE`), deletes those beyond the limit, and a few of the
/// oldest if they expired long ago:
/// each new nonce deletes more than one. Skips those that another replica deletes.
const ISSUE: &str = "
    WITH added AS (
        INSERT INTO TABLE (nonce, issued, expires)
        SELECT n.nonce, epoch_seconds(), epoch_seconds() + n.seconds
        FROM unnest($1::text[], $2::bigint[]) AS n (nonce, seconds)
        ON CONFLICT (nonce) DO NOTHING
        RETURNING id
    ), beyond AS MATERIALIZED (
        SELECT id FROM TABLE WHERE id <= (SELECT max(id) FROM added) - $3 FOR UPDATE SKIP LOCKED
    ), oldest AS MATERIALIZED (
        SELECT id, expires FROM TABLE ORDER BY id LIMIT $4
    ), expired AS MATERIALIZED (
        SELECT id FROM TABLE
        WHERE id = ANY (ARRAY(SELECT o.id FROM oldest o WHERE o.expires < epoch_seconds() - $5))
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM TABLE WHERE id = ANY (ARRAY(SELECT id FROM beyond UNION ALL SELECT id FROM expired))";

/// Uses each nonce for the first attempt in $2 that wants it, and returns the attempt that has it then.
/// Locks them in one order, so that replicas do not wait for each other in a circle.
const USE: &str = "
    WITH found AS MATERIALIZED (
        SELECT id, nonce, used_by, expires > epoch_seconds() AS valid,
            ($2::bigint[])[array_position($1::text[], nonce)] AS attempt
        FROM TABLE WHERE nonce = ANY ($1::text[]) ORDER BY nonce FOR UPDATE
    ), used AS (
        UPDATE TABLE SET used_by = found.attempt FROM found
        WHERE TABLE.id = found.id AND found.used_by IS NULL AND found.valid
    )
    SELECT nonce, coalesce(used_by, CASE WHEN valid THEN attempt END) FROM found";

/// The condition that a nonce can be used.
pub(super) const OPEN: &str = "used_by IS NULL AND expires > epoch_seconds()";

/// A nonce to issue.
pub(super) struct NewNonce {
    nonce: String,
    seconds: i64,
    limit: i64,
}

/// A nonce to use, and the attempt that wants it.
pub(super) struct UsedNonce {
    nonce: String,
    attempt: i64,
}

/// The queues for nonces of one kind.
pub(super) struct NonceBatches {
    new: Batches<NewNonce, ()>,
    used: Batches<UsedNonce, NonceState>,
}

impl NonceBatches {
    pub(super) fn start(
        kind: NonceKind,
        handle: &Handle,
        connections: &Arc<Connections>,
        ended: &watch::Sender<bool>,
    ) -> Self {
        let shared = || Arc::clone(connections);
        Self {
            new: Batches::start(handle, issue_batches(kind, shared()), ended.clone()),
            used: Batches::start(handle, use_batches(kind, shared()), ended.clone()),
        }
    }
}

impl PostgresStore {
    pub(in crate::store) async fn issue_nonce(
        &self,
        kind: NonceKind,
        nonce: &str,
        seconds: i64,
        limit: i64,
    ) -> Result<(), StoreError> {
        let nonce = nonce.to_owned();
        let new = NewNonce {
            nonce,
            seconds,
            limit,
        };
        self.nonces(kind).new.run(new).await
    }

    pub(in crate::store) fn consume_nonce(
        &self,
        kind: NonceKind,
        nonce: &str,
        attempt: i64,
    ) -> Result<NonceState, StoreError> {
        let nonce = storable(nonce);
        self.nonces(kind).used.run_blocking(UsedNonce { nonce, attempt })
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
fn issue_batches(kind: NonceKind, connections: Arc<Connections>) -> RunBatch<NewNonce, ()> {
    let issue: Arc<str> = ISSUE.replace("TABLE", kind.table()).into();
    Box::new(move |batch| {
        let (connections, issue) = (Arc::clone(&connections), Arc::clone(&issue));
        Box::pin(async move {
            let issued = connections
                .run(Repeat::Always, |client| {
                    let (batch, issue) = (Arc::clone(&batch), Arc::clone(&issue));
                    Box::pin(async move {
                        let nonces: Vec<_> = batch.iter().map(|new| new.nonce.as_str()).collect();
                        let seconds: Vec<_> = batch.iter().map(|new| new.seconds).collect();
                        let limit = batch.iter().map(|new| new.limit).min().unwrap_or(i64::MAX);
                        let looked_at = 4 * batch.len() as i64;
                        let statement = client.prepare_cached(&issue).await?;
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
fn use_batches(kind: NonceKind, connections: Arc<Connections>) -> RunBatch<UsedNonce, NonceState> {
    let used: Arc<str> = USE.replace("TABLE", kind.table()).into();
    Box::new(move |batch| {
        let (connections, used) = (Arc::clone(&connections), Arc::clone(&used));
        Box::pin(async move {
            let found = connections
                .run(Repeat::Always, |client| {
                    let (batch, used) = (Arc::clone(&batch), Arc::clone(&used));
                    Box::pin(async move {
                        let nonces: Vec<_> = batch.iter().map(|one| one.nonce.as_str()).collect();
                        let attempts: Vec<_> = batch.iter().map(|one| one.attempt).collect();
                        let statement = client.prepare_cached(&used).await?;
                        let rows = client.query(&statement, &[&nonces, &attempts]).await?;
                        let pairs = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
                        pairs.collect::<Result<HashMap<_, _>, tokio_postgres::Error>>()
                    })
                })
                .await?;
            Ok(batch.iter().map(|one| state(one, &found)).collect())
        })
    })
}

/// The state of a nonce of a batch. `found` has the attempt that used each, if it is not open.
fn state(one: &UsedNonce, found: &HashMap<String, Option<i64>>) -> NonceState {
    match found.get(&one.nonce) {
        None => NonceState::Unknown,
        Some(None) => NonceState::Expired,
        Some(Some(attempt)) if *attempt == one.attempt => NonceState::Consumed,
        Some(Some(_)) => NonceState::Used,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_consumed_by_the_attempt_that_has_it() {
        let found = HashMap::from([("a".to_owned(), Some(1)), ("b".to_owned(), None)]);
        let states = [("a", 1), ("a", 2), ("b", 3), ("c", 4)].map(|(nonce, attempt)| {
            let nonce = nonce.to_owned();
            state(&UsedNonce { nonce, attempt }, &found)
        });
        use NonceState::{Consumed, Expired, Unknown, Used};
        assert_eq!(states, [Consumed, Used, Expired, Unknown]);
    }
}
