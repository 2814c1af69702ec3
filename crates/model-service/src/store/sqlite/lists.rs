//! Lists in SQLite.

use rusqlite::types::{ToSqlOutput, Value as SqlValue};
use rusqlite::{Connection, OptionalExtension as _, ToSql, params_from_iter};

use super::changes;
use super::columns::read;
use super::database::SqliteStore;
use super::nonces;
use super::serials::holder;
use crate::store::conditions::Value;
use crate::store::lists::{self, ListQuery};
use crate::store::{
    IdentityHistory, IssuedAssertion, Listing, NonceEntry, NonceFilter, PageRequest, SerialHistory,
    SerialNumber, StoreError, StoredAssertion, identity_device,
};

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Integer(value) => ToSqlOutput::Owned(SqlValue::Integer(*value)),
            Self::Text(value) => ToSqlOutput::from(value.as_str()),
        })
    }
}

impl SqliteStore {
    pub(in crate::store) async fn list_nonces(
        &self,
        filter: NonceFilter,
        page: PageRequest,
    ) -> Result<Listing<NonceEntry>, StoreError> {
        let clock = self.clock();
        self.read(move |connection| {
            let query = nonces::list_query(filter, (clock.now(), &clock.boot));
            list(connection, &query, page)
        })
        .await
    }

    pub(in crate::store) async fn list<T: lists::Row>(
        &self,
        query: ListQuery,
        page: PageRequest,
    ) -> Result<Listing<T>, StoreError> {
        self.read(move |connection| list(connection, &query, page)).await
    }

    pub(in crate::store) async fn identity_history(
        &self,
        key_digest: &str,
    ) -> Result<IdentityHistory, StoreError> {
        let key_digest = key_digest.to_owned();
        self.read(move |connection| identity_history(connection, &key_digest))
            .await
    }

    pub(in crate::store) async fn serial_history(
        &self,
        number: &SerialNumber,
    ) -> Result<Option<SerialHistory>, StoreError> {
        let number = number.clone();
        self.read(move |connection| serial_history(connection, &number))
            .await
    }
}

/// A page of a list, in one transaction so that rows and totals belong together.
pub(super) fn list<T: lists::Row>(
    connection: &Connection,
    query: &ListQuery,
    page: PageRequest,
) -> rusqlite::Result<Listing<T>> {
    let transaction = connection.unchecked_transaction()?;
    let (sql, values) = query.rows(page);
    let rows = transaction
        .prepare_cached(&sql)?
        .query_map(params_from_iter(values), read)?
        .collect::<Result<_, _>>()?;
    if !page.counted {
        return Ok(ListQuery::uncounted(rows, page));
    }
    let count = |(sql, values): (String, Vec<Value>)| {
        let mut statement = transaction.prepare_cached(&sql)?;
        statement.query_row(params_from_iter(values), |row| row.get(0))
    };
    let total = count(query.count(None))?;
    let Some(after) = page.after else {
        return Ok(ListQuery::listing(rows, page, total, 0, None));
    };
    let before = count(query.count(Some(after)))?;
    let (sql, values) = query.previous(after, page.limit);
    let previous = transaction
        .prepare_cached(&sql)?
        .query_row(params_from_iter(values), |row| row.get(0))
        .optional()?;
    Ok(ListQuery::listing(rows, page, total, before, previous))
}

fn identity_history(connection: &Connection, key_digest: &str) -> rusqlite::Result<IdentityHistory> {
    let assertions = connection
        .prepare_cached(StoredAssertion::QUERY)?
        .query_map([key_digest], read)?
        .collect::<Result<_, _>>()?;
    Ok(IdentityHistory {
        assertions,
        changes: changes::of_device(connection, &identity_device(key_digest))?,
    })
}

fn serial_history(connection: &Connection, number: &SerialNumber) -> rusqlite::Result<Option<SerialHistory>> {
    let assertions: Vec<_> = connection
        .prepare_cached(IssuedAssertion::QUERY)?
        .query_map([&number.serial, &number.brand, &number.model], read)?
        .collect::<Result<_, _>>()?;
    if assertions.is_empty() {
        return Ok(None);
    }
    Ok(Some(SerialHistory {
        device: holder(connection, number)?,
        assertions,
        changes: changes::of_serial(connection, number)?,
    }))
}
