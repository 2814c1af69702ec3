//! Lists in PostgreSQL.

use deadpool_postgres::Transaction;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Error, IsolationLevel, Row};

use super::connections::Repeat;
use super::database::PostgresStore;
use super::{changes, nonces, storable};
use crate::store::conditions::Value;
use crate::store::lists::{self, ListQuery};
use crate::store::{
    IdentityEntry, IdentityFilter, IdentityHistory, Import, ImportFilter, IssuedAssertion, Listing, LogEntry,
    LoggedRegistration, NonceEntry, NonceFilter, NonceStatus, PageRequest, RegistrationFilter, SerialEntry,
    SerialFilter, SerialHistory, SerialNumber, StoreError, StoredAssertion, identity_device,
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
    pub(in crate::store) async fn list_identities(
        &self,
        filter: IdentityFilter,
        page: PageRequest,
    ) -> Result<Listing<IdentityEntry>, StoreError> {
        self.list(filter.query(), page, read_identity).await
    }

    pub(in crate::store) async fn list_imports(
        &self,
        filter: ImportFilter,
        page: PageRequest,
    ) -> Result<Listing<Import>, StoreError> {
        self.list(filter.query(), page, read_import).await
    }

    pub(in crate::store) async fn list_registrations(
        &self,
        filter: RegistrationFilter,
        page: PageRequest,
    ) -> Result<Listing<LoggedRegistration>, StoreError> {
        self.list(filter.query(), page, read_registration).await
    }

    pub(in crate::store) async fn list_serials(
        &self,
        filter: SerialFilter,
        page: PageRequest,
    ) -> Result<Listing<SerialEntry>, StoreError> {
        self.list(filter.query(), page, read_serial).await
    }

    pub(in crate::store) async fn list_nonces(
        &self,
        filter: NonceFilter,
        page: PageRequest,
    ) -> Result<Listing<NonceEntry>, StoreError> {
        self.list(nonces::list_query(filter), page, read_nonce).await
    }

    async fn list<T: lists::Row + Send + 'static>(
        &self,
        query: ListQuery,
        page: PageRequest,
        read: fn(&Row) -> Result<T, Error>,
    ) -> Result<Listing<T>, StoreError> {
        let query = std::sync::Arc::new(query);
        self.run(Repeat::Always, move |client| {
            let query = std::sync::Arc::clone(&query);
            Box::pin(async move {
                // Rows and totals belong together.
                let transaction = client
                    .build_transaction()
                    .isolation_level(IsolationLevel::RepeatableRead)
                    .read_only(true)
                    .start()
                    .await?;
                list(&transaction, &query, page, read).await
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
                let find = "SELECT issuer, digest, imported, import, text
                    FROM identities JOIN identity_texts USING (id) WHERE key_digest = $1 ORDER BY id";
                let rows = client.query(find, &[&key_digest]).await?;
                Ok(IdentityHistory {
                    assertions: rows.iter().map(read_stored).collect::<Result<_, _>>()?,
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
                let find = "SELECT revision, time, device_key, sign_key, text FROM issued
                    WHERE serial = $1 AND brand = $2 AND model = $3 ORDER BY revision DESC";
                let keys: [&(dyn ToSql + Sync); 3] = [&number.serial, &number.brand, &number.model];
                let rows = client.query(find, &keys).await?;
                if rows.is_empty() {
                    return Ok(None);
                }
                let holder = "SELECT device FROM serials WHERE serial = $1 AND brand = $2 AND model = $3";
                let holder = client.query_opt(holder, &keys).await?;
                Ok(Some(SerialHistory {
                    device: holder.map(|row| row.try_get(0)).transpose()?,
                    assertions: rows.iter().map(read_issued).collect::<Result<_, _>>()?,
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
    read: fn(&Row) -> Result<T, Error>,
) -> Result<Listing<T>, Error> {
    let (sql, values) = query.rows(page);
    let statement = transaction.prepare_cached(&with_parameters(&sql)).await?;
    let found = transaction.query(&statement, &parameters(&values)).await?;
    let rows = found.iter().map(read).collect::<Result<_, _>>()?;
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
    unsigned(&row, 0)
}

/// A count or a revision.
pub(super) fn unsigned(row: &Row, column: usize) -> Result<u64, Error> {
    row.try_get::<_, i64>(column).map(i64::unsigned_abs)
}

fn read_identity(row: &Row) -> Result<IdentityEntry, Error> {
    Ok(IdentityEntry {
        id: row.try_get(0)?,
        issuer: row.try_get(1)?,
        digest: row.try_get(2)?,
        key_digest: row.try_get(3)?,
        revision: unsigned(row, 4)?,
        hardware_id: row.try_get(5)?,
        hardware_name: row.try_get(6)?,
        manufacturer: row.try_get(7)?,
        imported: row.try_get(8)?,
        lot: row.try_get(9)?,
        blocked: row.try_get(10)?,
        registered: row.try_get(11)?,
    })
}

fn read_import(row: &Row) -> Result<Import, Error> {
    Ok(Import {
        number: row.try_get(0)?,
        time: row.try_get(1)?,
        by: row.try_get(2)?,
        name: row.try_get(3)?,
        new: unsigned(row, 4)?,
        replaced: unsigned(row, 5)?,
        present: unsigned(row, 6)?,
        older: unsigned(row, 7)?,
    })
}

fn read_registration(row: &Row) -> Result<LoggedRegistration, Error> {
    Ok(LoggedRegistration {
        id: row.try_get(0)?,
        entry: LogEntry {
            time: row.try_get(1)?,
            address: row.try_get(2)?,
            brand: row.try_get(3)?,
            model: row.try_get(4)?,
            serial: row.try_get(5)?,
            device: row.try_get(6)?,
            outcome: row.try_get(7)?,
            reason: row.try_get(8)?,
        },
    })
}

fn read_serial(row: &Row) -> Result<SerialEntry, Error> {
    Ok(SerialEntry {
        id: row.try_get(0)?,
        number: SerialNumber {
            brand: row.try_get(1)?,
            model: row.try_get(2)?,
            serial: row.try_get(3)?,
        },
        device: row.try_get(4)?,
        revision: unsigned(row, 5)?,
        issued: row.try_get(6)?,
        device_key: row.try_get(7)?,
    })
}

fn read_nonce(row: &Row) -> Result<NonceEntry, Error> {
    let status = match (row.try_get(4)?, row.try_get(5)?) {
        (true, _) => NonceStatus::Used,
        (false, true) => NonceStatus::Open,
        (false, false) => NonceStatus::Expired,
    };
    Ok(NonceEntry {
        id: row.try_get(0)?,
        beginning: row.try_get(1)?,
        issued: row.try_get(2)?,
        expires: row.try_get(3)?,
        status,
    })
}

fn read_stored(row: &Row) -> Result<StoredAssertion, Error> {
    Ok(StoredAssertion {
        issuer: row.try_get(0)?,
        digest: row.try_get(1)?,
        imported: row.try_get(2)?,
        lot: row.try_get(3)?,
        assertion: row.try_get(4)?,
    })
}

fn read_issued(row: &Row) -> Result<IssuedAssertion, Error> {
    Ok(IssuedAssertion {
        revision: unsigned(row, 0)?,
        time: row.try_get(1)?,
        device_key: row.try_get(2)?,
        sign_key: row.try_get(3)?,
        assertion: row.try_get(4)?,
    })
}
