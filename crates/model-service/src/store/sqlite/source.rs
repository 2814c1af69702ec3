//! Reading a whole SQLite database, to move it elsewhere.

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use serde::Deserialize;

use super::database::SqliteStore;
use super::files::{Lock, StorePaths};
use super::ledger;
use crate::store::transfer::{Table, push_copied};
use crate::store::{Event, StoreError};

/// The bytes of rows that are handed over at a time.
const PIECE: usize = 64 * 1024;

/// A database that no other process has open.
pub(in crate::store) struct SqliteSource {
    store: SqliteStore,
    paths: StorePaths,
}

/// Takes complete lines as COPY writes them.
type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), StoreError>;

impl SqliteSource {
    /// Opens the database, which then agrees with its ledger.
    pub(in crate::store) fn open(paths: StorePaths) -> Result<Self, StoreError> {
        if let Some(path) = paths.databases().into_iter().find(|path| !path.exists()) {
            return Err(StoreError::Missing { path });
        }
        let lock = Lock::exclusive(&paths)?;
        Ok(Self {
            store: SqliteStore::open_locked(paths.clone(), lock)?,
            paths,
        })
    }

    /// The rows of a table, by its key.
    pub(in crate::store) fn read(&self, table: &Table, sink: Sink<'_>) -> Result<(), StoreError> {
        let select = format!(
            "SELECT {} FROM {} ORDER BY {}",
            table.sqlite, table.name, table.key
        );
        // An error of the sink is not one of SQLite.
        let read = self.store.read_blocking(|connection| {
            let mut statement = connection.prepare(&select)?;
            let columns = statement.column_count();
            let (mut rows, mut piece) = (statement.query([])?, Vec::new());
            while let Some(row) = rows.next()? {
                for column in 0..columns {
                    if column > 0 {
                        piece.push(b'\t');
                    }
                    match row.get_ref(column)? {
                        ValueRef::Null => push_copied(&mut piece, None),
                        ValueRef::Integer(number) => push_copied(&mut piece, Some(&number.to_string())),
                        other => push_copied(&mut piece, Some(other.as_str()?)),
                    }
                }
                piece.push(b'\n');
                if piece.len() >= PIECE {
                    if let Err(error) = sink(&piece) {
                        return Ok(Err(error));
                    }
                    piece.clear();
                }
            }
            Ok(sink(&piece))
        });
        read?
    }

    /// Number, time and event of each line of the ledger, whose chain is checked.
    pub(in crate::store) fn read_ledger(&self, sink: Sink<'_>) -> Result<(), StoreError> {
        let (mut piece, mut result) = (Vec::new(), Ok(()));
        ledger::for_each_event(&self.paths.ledger, |line| {
            let entry: LedgerEntry = serde_json::from_slice(line)?;
            let event = serde_json::to_string(&entry.event)?;
            push_copied(&mut piece, Some(&entry.sequence.to_string()));
            piece.push(b'\t');
            // PostgreSQL keeps microseconds.
            let time: Timestamp = entry.time.parse().map_err(serde::de::Error::custom)?;
            let time = time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
            push_copied(&mut piece, Some(&time));
            piece.push(b'\t');
            push_copied(&mut piece, Some(&event));
            piece.push(b'\n');
            if piece.len() >= PIECE && result.is_ok() {
                result = sink(&piece);
                piece.clear();
            }
            Ok(())
        })?;
        result?;
        sink(&piece)
    }
}

impl Drop for SqliteSource {
    fn drop(&mut self) {
        // Nothing was written that is not stored.
        let _ = self.store.close();
    }
}

#[derive(Deserialize)]
struct LedgerEntry {
    sequence: u64,
    /// RFC 3339.
    time: String,
    #[serde(flatten)]
    event: Event,
}
