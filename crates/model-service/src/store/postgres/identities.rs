//! Reading the imported hardware identities from PostgreSQL.

use tokio_postgres::{Error, Row};

use super::connections::Repeat;
use super::database::PostgresStore;
use super::storable;
use crate::store::{IdentityRow, StoreError, StoredIdentity};

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

    pub(in crate::store) async fn search_identities(
        &self,
        text: &str,
        before: i64,
        limit: u32,
    ) -> Result<Vec<IdentityRow>, StoreError> {
        let search =
            "SELECT id, issuer, digest, revision, hardware_id, hardware_name, manufacturer, imported,
                EXISTS (SELECT FROM blocked_identities b WHERE b.key_digest = identities.key_digest)
            FROM identities WHERE id < $2
            AND ($1 = '' OR strpos(lower(hardware_id), $1) > 0 OR strpos(lower(digest), $1) > 0
                OR strpos(lower(issuer), $1) > 0 OR strpos(lower(hardware_name), $1) > 0
                OR strpos(lower(manufacturer), $1) > 0)
            ORDER BY id DESC LIMIT $3";
        let text = storable(&text.to_ascii_lowercase());
        self.run(Repeat::Always, move |client| {
            let text = text.clone();
            Box::pin(async move {
                let statement = client.prepare_cached(search).await?;
                let rows = client
                    .query(&statement, &[&text, &before, &i64::from(limit)])
                    .await?;
                rows.iter().map(read_row).collect()
            })
        })
        .await
    }
}

fn read_identity(row: &Row) -> Result<StoredIdentity, Error> {
    Ok(StoredIdentity {
        issuer: row.try_get(0)?,
        key_digest: row.try_get(1)?,
        assertion: row.try_get(2)?,
    })
}

fn read_row(row: &Row) -> Result<IdentityRow, Error> {
    Ok(IdentityRow {
        id: row.try_get(0)?,
        issuer: row.try_get(1)?,
        digest: row.try_get(2)?,
        revision: row.try_get::<_, i64>(3)?.unsigned_abs(),
        hardware_id: row.try_get(4)?,
        hardware_name: row.try_get(5)?,
        manufacturer: row.try_get(6)?,
        imported: row.try_get(7)?,
        blocked: row.try_get(8)?,
    })
}
