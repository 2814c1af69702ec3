//! Moving an SQLite database to PostgreSQL.

use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};

use super::postgres::PostgresTransfer;
use super::sqlite::{SqliteSource, StorePaths};
use super::{Store, StoreError};
use crate::settings::PostgresqlSettings;

/// A table that is moved. Both databases have it with the same columns.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The columns, as SQLite and as PostgreSQL select them.
    pub(super) sqlite: &'static str,
    pub(super) postgres: &'static str,
    /// The columns that are written.
    pub(super) columns: &'static str,
    /// The key, by which the rows are ordered.
    pub(super) key: &'static str,
}

const fn same(name: &'static str, columns: &'static str, key: &'static str) -> Table {
    Table {
        name,
        sqlite: columns,
        postgres: columns,
        columns,
        key,
    }
}

/// The tables, without the ledger, which SQLite has in files.
const TABLES: [Table; 10] = [
    same(
        "imports",
        "number, time, author, name, added, replaced, present, older",
        "number",
    ),
    same(
        "identities",
        "id, issuer, digest, key_digest, revision, hardware_id, hardware_name, manufacturer, imported, import",
        "id",
    ),
    same("identity_texts", "id, text", "id"),
    same("blocked_identities", "key_digest, time, reason", "key_digest"),
    same("serials", "brand, model, serial, device", "serial, brand, model"),
    same(
        "issued",
        "id, brand, model, serial, revision, device_key, sign_key, text, time",
        "id",
    ),
    same(
        "registrations",
        "id, time, address, brand, model, serial, device, outcome, reason, class, number",
        "id",
    ),
    same(
        "changes",
        "id, time, kind, device, brand, model, serial, reason, author",
        "id",
    ),
    same("session_key", "id, key", "id"),
    Table {
        name: "nonces",
        // PostgreSQL knows no boots: a nonce of an earlier one, which SQLite refuses, is open again
        // until it expires. That is accepted: it was never used, and expires when it would have.
        sqlite: "id, nonce, issued, expires, iif(used, 0, NULL)",
        postgres: "id, nonce, issued, expires, used_by",
        columns: "id, nonce, issued, expires, used_by",
        key: "id",
    },
];

/// The ledger: number, time and event.
const LEDGER: Table = Table {
    name: "ledger",
    sqlite: "",
    postgres: r#"number, to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), event"#,
    columns: "number, time, event",
    key: "number",
};

/// The rows of a table as PostgreSQL's COPY writes them: their number and their hash.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TableDigest {
    pub(crate) table: &'static str,
    pub(crate) rows: u64,
    /// SHA-256 in hexadecimal digits.
    pub(crate) hash: String,
}

/// Counts and hashes rows.
pub(super) struct RowHasher {
    rows: u64,
    hash: Context,
}

impl RowHasher {
    pub(super) fn new() -> Self {
        Self {
            rows: 0,
            hash: Context::new(&SHA256),
        }
    }

    /// Adds lines. A line end within a value is escaped.
    pub(super) fn add(&mut self, lines: &[u8]) {
        self.rows += lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.hash.update(lines);
    }

    pub(super) fn finish(self, table: &'static str) -> TableDigest {
        TableDigest {
            table,
            rows: self.rows,
            hash: hex::encode(self.hash.finish()),
        }
    }
}

/// A value as COPY writes it.
pub(super) fn push_copied(line: &mut Vec<u8>, value: Option<&str>) {
    let Some(value) = value else {
        line.extend(b"\\N");
        return;
    };
    for byte in value.bytes() {
        match byte {
            b'\\' => line.extend(b"\\\\"),
            0x08 => line.extend(b"\\b"),
            0x0C => line.extend(b"\\f"),
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            b'\t' => line.extend(b"\\t"),
            0x0B => line.extend(b"\\v"),
            other => line.push(other),
        }
    }
}

/// Hands rows, as COPY reads them, to its argument.
pub(super) type Source<'a> =
    &'a mut dyn FnMut(&mut dyn FnMut(&[u8]) -> Result<(), StoreError>) -> Result<(), StoreError>;

impl Store {
    /// Moves the SQLite database at `from`, with its ledger, to the PostgreSQL database `to`, in
    /// one transaction: all or nothing. No other process may have the database open. Returns the
    /// verified digest of each table, and if anything was stored: nothing is if `to` has the same
    /// rows already.
    pub(crate) fn transfer(
        from: &Path,
        ledger: Option<&Path>,
        to: &str,
        settings: &PostgresqlSettings,
    ) -> Result<(Vec<TableDigest>, bool), StoreError> {
        let source = SqliteSource::open(StorePaths::at(from, ledger))?;
        let target = PostgresTransfer::begin(to, settings)?;
        let tables = || TABLES.iter().chain([&LEDGER]);
        let mut stored = false;
        let mut digests = Vec::new();
        for table in tables() {
            let read = |sink: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>| match table.sqlite {
                "" => source.read_ledger(sink),
                _ => source.read(table, sink),
            };
            let mut hasher = RowHasher::new();
            let before = target.digest(table)?;
            if before.rows == 0 {
                stored |= target.copy(table, &mut |sink| {
                    read(&mut |lines| {
                        hasher.add(lines);
                        sink(lines)
                    })
                })?;
            } else {
                read(&mut |lines| {
                    hasher.add(lines);
                    Ok(())
                })?;
            }
            let expected = hasher.finish(table.name);
            if before.rows > 0 && before != expected {
                return Err(StoreError::TargetUsed { table: table.name });
            }
            if target.digest(table)? != expected {
                return Err(StoreError::TransferDiffers { table: table.name });
            }
            digests.push(expected);
        }
        target.commit()?;
        Ok((digests, stored))
    }
}
