//! Lists in PostgreSQL.

use std::sync::Arc;

use deadpool_postgres::Transaction;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Error, IsolationLevel};

use super::columns::read_all;
use super::connections::Repeat;
use super::database::PostgresStore;
use super::{changes, nonces, storable};
use crate::store::conditions::Value;
use crate::store::lists::{self, ListQuery};
use crate::store::{
    IdentityHistory, IssuedAssertion, Listing, NonceEntry, NonceFilter, PageRequest, SerialHistory,
    SerialNumber, StoreError, StoredAssertion, identity_device,
};

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Integer(value) => value.to_sql(kind, out),
            Self::Text(value) => storable(value).to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        <i64 as ToSql>::accepts(kind) || <String as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}

impl PostgresStore {
    pub(in crate::store) async fn list_nonces(
        &self,
        filter: NonceFilter,
        page: PageRequest,
    ) -> Result<Listing<NonceEntry>, StoreError> {
        self.list(nonces::list_query(filter), page).await
    }

    pub(in crate::store) async fn list<T: lists::Row>(
        &self,
        query: ListQuery,
        page: PageRequest,
    ) -> Result<Listing<T>, StoreError> {
        let query = Arc::new(query);
        self.run(Repeat::Always, move |client| {
            let query = Arc::clone(&query);
            Box::pin(async move {
                // Rows and totals belong together.
                let transaction = client
                    .build_transaction()
                    .isolation_level(IsolationLevel::RepeatableRead)
                    .read_only(true)
                    .start()
                    .await?;
                list(&transaction, &query, page).await
            })
        })
        .await
    }

    pub(in crate::store) async fn identity_history(
        &self,
        key_digest: &str,
    ) -> Result<IdentityHistory, StoreError> {
        let key_digest = storable(key_digest);
        self.run(Repeat::Always, move |client| {
            let key_digest = key_digest.clone();
            Box::pin(async move {
                let find = with_parameters(StoredAssertion::QUERY);
                let rows = client.query(&find, &[&key_digest]).await?;
                Ok(IdentityHistory {
                    assertions: read_all(&rows)?,
                    changes: changes::of_device(client, &identity_device(&key_digest)).await?,
                })
            })
        })
        .await
    }

    pub(in crate::store) async fn serial_history(
        &self,
        number: &SerialNumber,
    ) -> Result<Option<SerialHistory>, StoreError> {
        let number = SerialNumber {
            brand: storable(&number.brand),
            model: storable(&number.model),
            serial: storable(&number.serial),
        };
        self.run(Repeat::Always, move |client| {
            let number = number.clone();
            Box::pin(async move {
                let find = with_parameters(IssuedAssertion::QUERY);
                let keys: [&(dyn ToSql + Sync); 3] = [&number.serial, &number.brand, &number.model];
                let rows = client.query(&find, &keys).await?;
                if rows.is_empty() {
                    return Ok(None);
                }
                let holder = "SELECT device FROM serials WHERE serial = $1 AND brand = $2 AND model = $3";
                let holder = client.query_opt(holder, &keys).await?;
                Ok(Some(SerialHistory {
                    device: holder.map(|row| row.try_get(0)).transpose()?,
                    assertions: read_all(&rows)?,
                    changes: changes::of_serial(client, &number).await?,
                }))
            })
        })
        .await
    }
}

/// The SQL with PostgreSQL's parameters.
pub(super) fn with_parameters(sql: &str) -> String {
    sql.replace('?', "$")
}

pub(super) fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as _).collect()
}

/// A page of a list.
async fn list<T: lists::Row>(
    transaction: &Transaction<'_>,
    query: &ListQuery,
    page: PageRequest,
) -> Result<Listing<T>, Error> {
    let (sql, values) = query.rows(page);
    let statement = transaction.prepare_cached(&with_parameters(&sql)).await?;
    let found = transaction.query(&statement, &parameters(&values)).await?;
    let rows = read_all(&found)?;
    if !page.counted {
        return Ok(ListQuery::uncounted(rows, page));
    }
    let total = count(transaction, query.count(None)).await?;
    let Some(after) = page.after else {
        return Ok(ListQuery::listing(rows, page, total, 0, None));
    };
    let before = count(transaction, query.count(Some(after))).await?;
    let (sql, values) = query.previous(after, page.limit);
    let statement = transaction.prepare_cached(&with_parameters(&sql)).await?;
    let previous = transaction.query_opt(&statement, &parameters(&values)).await?;
    let previous = previous.map(|row| row.try_get(0)).transpose()?;
    Ok(ListQuery::listing(rows, page, total, before, previous))
}

async fn count(transaction: &Transaction<'_>, (sql, values): (String, Vec<Value>)) -> Result<u64, Error> {
    let statement = transaction.prepare_cached(&with_parameters(&sql)).await?;
    let row = transaction.query_one(&statement, &parameters(&values)).await?;
    row.try_get::<_, i64>(0).map(i64::unsigned_abs)
}
