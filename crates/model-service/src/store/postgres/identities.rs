//! Reading the imported hardware identities from PostgreSQL.

use tokio_postgres::{Error, Row};

use super::connections::Repeat;
use super::database::PostgresStore;
use super::storable;
use crate::store::{StoreError, StoredIdentity};

impl PostgresStore {
    pub(in crate::store) fn find_identities(&self, digest: &str) -> Result<Vec<StoredIdentity>, StoreError> {
        let find = "SELECT issuer, key_digest, text FROM identities JOIN identity_texts USING (id) WHERE digest = $1";
        let digest = storable(digest);
        self.run_blocking(Repeat::Always, |client| {
            let digest = digest.clone();
            Box::pin(async move {
                let statement = client.prepare_cached(find).await?;
                let rows = client.query(&statement, &[&digest]).await?;
                rows.iter().map(read_identity).collect()
            })
        })
    }
}

fn read_identity(row: &Row) -> Result<StoredIdentity, Error> {
    Ok(StoredIdentity {
        issuer: row.try_get(0)?,
        key_digest: row.try_get(1)?,
        assertion: row.try_get(2)?,
    })
}
