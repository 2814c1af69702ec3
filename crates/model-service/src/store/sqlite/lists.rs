//! Lists in SQLite.

use rusqlite::types::{ToSqlOutput, Value as SqlValue};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params_from_iter};

use super::changes;
use super::database::SqliteStore;
use super::nonces;
use super::serials::holder;
use crate::store::conditions::Value;
use crate::store::lists::{self, ListQuery};
use crate::store::{
    IdentityEntry, IdentityFilter, IdentityHistory, Import, ImportFilter, IssuedAssertion, Listing, LogEntry,
    LoggedRegistration, NonceEntry, NonceFilter, NonceStatus, PageRequest, RegistrationFilter, SerialEntry,
    SerialFilter, SerialHistory, SerialNumber, StoreError, StoredAssertion, identity_device,
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
        let clock = self.clock();
        self.read(move |connection| {
            let query = nonces::list_query(filter, (clock.now(), &clock.boot));
            list(connection, &query, page, read_nonce)
        })
        .await
    }

    async fn list<T: lists::Row + Send + 'static>(
        &self,
        query: ListQuery,
        page: PageRequest,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Listing<T>, StoreError> {
        self.read(move |connection| list(connection, &query, page, read))
            .await
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
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Listing<T>> {
    let transaction = connection.unchecked_transaction()?;
    let (sql, values) = query.rows(page);
    let rows = transaction
        .prepare_cached(&sql)?
        .query_map(params_from_iter(values), read)?
        .collect::<Result<_, _>>()?;
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

fn read_identity(row: &Row<'_>) -> rusqlite::Result<IdentityEntry> {
    Ok(IdentityEntry {
        id: row.get(0)?,
        issuer: row.get(1)?,
        digest: row.get(2)?,
        key_digest: row.get(3)?,
        revision: row.get(4)?,
        hardware_id: row.get(5)?,
        hardware_name: row.get(6)?,
        manufacturer: row.get(7)?,
        imported: row.get(8)?,
        lot: row.get(9)?,
        blocked: row.get(10)?,
        registered: row.get(11)?,
    })
}

fn read_import(row: &Row<'_>) -> rusqlite::Result<Import> {
    Ok(Import {
        number: row.get(0)?,
        time: row.get(1)?,
        by: row.get(2)?,
        name: row.get(3)?,
        new: row.get(4)?,
        replaced: row.get(5)?,
        present: row.get(6)?,
        older: row.get(7)?,
    })
}

fn read_registration(row: &Row<'_>) -> rusqlite::Result<LoggedRegistration> {
    Ok(LoggedRegistration {
        id: row.get(0)?,
        entry: LogEntry {
            time: row.get(1)?,
            address: row.get(2)?,
            brand: row.get(3)?,
            model: row.get(4)?,
            serial: row.get(5)?,
            device: row.get(6)?,
            outcome: row.get(7)?,
            reason: row.get(8)?,
        },
    })
}

fn read_serial(row: &Row<'_>) -> rusqlite::Result<SerialEntry> {
    Ok(SerialEntry {
        id: row.get(0)?,
        number: SerialNumber {
            brand: row.get(1)?,
            model: row.get(2)?,
            serial: row.get(3)?,
        },
        device: row.get(4)?,
        revision: row.get(5)?,
        issued: row.get(6)?,
        device_key: row.get(7)?,
    })
}

fn read_nonce(row: &Row<'_>) -> rusqlite::Result<NonceEntry> {
    let status = match (row.get(4)?, row.get(5)?) {
        (true, _) => NonceStatus::Used,
        (false, true) => NonceStatus::Open,
        (false, false) => NonceStatus::Expired,
    };
    Ok(NonceEntry {
        id: row.get(0)?,
        beginning: row.get(1)?,
        issued: row.get(2)?,
        expires: row.get(3)?,
        status,
    })
}

fn identity_history(connection: &Connection, key_digest: &str) -> rusqlite::Result<IdentityHistory> {
    let assertions = connection
        .prepare_cached(
            "SELECT issuer, digest, imported, import, text
             FROM identities JOIN identity_texts USING (id) WHERE key_digest = ?1 ORDER BY id",
        )?
        .query_map([key_digest], |row| {
            Ok(StoredAssertion {
                issuer: row.get(0)?,
                digest: row.get(1)?,
                imported: row.get(2)?,
                lot: row.get(3)?,
                assertion: row.get(4)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(IdentityHistory {
        assertions,
        changes: changes::of_device(connection, &identity_device(key_digest))?,
    })
}

fn serial_history(connection: &Connection, number: &SerialNumber) -> rusqlite::Result<Option<SerialHistory>> {
    let assertions: Vec<_> = connection
        .prepare_cached(
            "SELECT revision, time, device_key, sign_key, text FROM issued
             WHERE serial = ?1 AND brand = ?2 AND model = ?3 ORDER BY revision DESC",
        )?
        .query_map([&number.serial, &number.brand, &number.model], |row| {
            Ok(IssuedAssertion {
                revision: row.get(0)?,
                time: row.get(1)?,
                device_key: row.get(2)?,
                sign_key: row.get(3)?,
                assertion: row.get(4)?,
            })
        })?
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
