//! Reading the imported hardware identities from PostgreSQL.

use std::sync::Arc;

use tokio_postgres::{Error, Row};

use super::batches::RunBatch;
use super::connections::{Connections, Repeat};
use super::database::PostgresStore;
use super::storable;
use crate::store::{StoreError, StoredIdentity};

/// Place of the digest, and an identity with it.
const FIND: &str = "
    SELECT w.place, i.issuer, i.key_digest, t.text,
        EXISTS (SELECT FROM blocked_identities b WHERE b.key_digest = i.key_digest)
    FROM unnest($1::text[]) WITH ORDINALITY AS w (digest, place)
    JOIN identities i ON i.digest = w.digest
    JOIN identity_texts t ON t.id = i.id";

impl PostgresStore {
    pub(in crate::store) fn find_identities(&self, digest: &str) -> Result<Vec<StoredIdentity>, StoreError> {
        self.identities().run_blocking(storable(digest))
    }
}

/// Finds the identities of a batch of digests.
pub(super) fn identity_batches(connections: Arc<Connections>) -> RunBatch<String, Vec<StoredIdentity>> {
    Box::new(move |batch| {
        let connections = Arc::clone(&connections);
        Box::pin(async move {
            connections
                .run(Repeat::Always, |client| {
                    let batch = Arc::clone(&batch);
                    Box::pin(async move {
                        let statement = client.prepare_cached(FIND).await?;
                        let rows = client.query(&statement, &[batch.as_ref()]).await?;
                        let mut found: Vec<_> = batch.iter().map(|_| Vec::new()).collect();
                        for row in &rows {
                            let place = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or_default();
                            if let Some(identities) = found.get_mut(place.wrapping_sub(1)) {
                                identities.push(read_identity(row)?);
                            }
                        }
                        Ok(found)
                    })
                })
                .await
        })
    })
}

fn read_identity(row: &Row) -> Result<StoredIdentity, Error> {
    Ok(StoredIdentity {
        issuer: row.try_get(1)?,
        key_digest: row.try_get(2)?,
        assertion: row.try_get(3)?,
        blocked: row.try_get(4)?,
    })
}
