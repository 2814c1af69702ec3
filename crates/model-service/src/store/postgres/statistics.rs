//! Statistics in PostgreSQL.

use super::columns::{read, read_all};
use super::connections::Repeat;
use super::database::PostgresStore;
use super::lists::{parameters, with_parameters};
use super::nonces;
use crate::store::conditions::Conditions;
use crate::store::statistics::ClassCount;
use crate::store::{Counts, RefusalCount, StoreError};

impl PostgresStore {
    pub(in crate::store) async fn counts(&self) -> Result<Counts, StoreError> {
        self.run(Repeat::Always, |client| {
            Box::pin(async move {
                let counts = format!(
                    "SELECT
                        (SELECT coalesce(sum(added), 0)::bigint FROM imports),
                        (SELECT count(*) FROM blocked_identities),
                        (SELECT count(*) FROM serials),
                        (SELECT count(*) FROM issued),
                        (SELECT count(*) FROM nonces WHERE {}),
                        (SELECT count(*) FROM imports),
                        (SELECT count(*) FROM registrations),
                        (SELECT count(*) FROM registrations WHERE class = 2)",
                    nonces::OPEN
                );
                let row = client.query_one(&counts, &[]).await?;
                read(&row)
            })
        })
        .await
    }

    pub(in crate::store) async fn registrations_since(
        &self,
        first: i64,
    ) -> Result<Vec<ClassCount>, StoreError> {
        self.run(Repeat::Always, move |client| {
            Box::pin(async move {
                let [first, day] = ClassCount::since(first);
                let query = with_parameters(ClassCount::QUERY);
                read_all(&client.query(&query, &[&first, &day]).await?)
            })
        })
        .await
    }

    pub(in crate::store) async fn refusals_by_code(
        &self,
        conditions: Conditions,
    ) -> Result<Vec<RefusalCount>, StoreError> {
        let query = with_parameters(&RefusalCount::query(&conditions));
        self.run(Repeat::Always, move |client| {
            let (query, values) = (query.clone(), conditions.values.clone());
            Box::pin(async move {
                let statement = client.prepare_cached(&query).await?;
                read_all(&client.query(&statement, &parameters(&values)).await?)
            })
        })
        .await
    }
}
