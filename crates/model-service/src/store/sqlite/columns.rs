//! The columns of a row of SQLite.

use rusqlite::Row;
use rusqlite::types::FromSql;

use crate::store::columns::{Columns, FromColumns};

struct RowColumns<'a> {
    row: &'a Row<'a>,
    next: usize,
}

impl RowColumns<'_> {
    fn get<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let column = self.next;
        self.next += 1;
        self.row.get(column)
    }
}

impl Columns for RowColumns<'_> {
    type Error = rusqlite::Error;

    fn text(&mut self) -> rusqlite::Result<String> {
        self.get()
    }

    fn optional_text(&mut self) -> rusqlite::Result<Option<String>> {
        self.get()
    }

    fn integer(&mut self) -> rusqlite::Result<i64> {
        self.get()
    }

    fn flag(&mut self) -> rusqlite::Result<bool> {
        self.get()
    }
}

/// Reads a row.
pub(super) fn read<T: FromColumns>(row: &Row<'_>) -> rusqlite::Result<T> {
    T::read(&mut RowColumns { row, next: 0 })
}
