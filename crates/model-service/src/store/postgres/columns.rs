//! The columns of a row of PostgreSQL.

use tokio_postgres::types::FromSql;
use tokio_postgres::{Error, Row};

use crate::store::columns::{Columns, FromColumns};

struct RowColumns<'a> {
    row: &'a Row,
    next: usize,
}

impl<'a> RowColumns<'a> {
    fn get<T: FromSql<'a>>(&mut self) -> Result<T, Error> {
        let column = self.next;
        self.next += 1;
        self.row.try_get(column)
    }
}

impl Columns for RowColumns<'_> {
    type Error = Error;

    fn text(&mut self) -> Result<String, Error> {
        self.get()
    }

    fn optional_text(&mut self) -> Result<Option<String>, Error> {
        self.get()
    }

    fn integer(&mut self) -> Result<i64, Error> {
        self.get()
    }

    fn flag(&mut self) -> Result<bool, Error> {
        self.get()
    }
}

/// Reads a row.
pub(super) fn read<T: FromColumns>(row: &Row) -> Result<T, Error> {
    T::read(&mut RowColumns { row, next: 0 })
}

/// Reads rows.
pub(super) fn read_all<T: FromColumns>(rows: &[Row]) -> Result<Vec<T>, Error> {
    rows.iter().map(read).collect()
}
