//! Lists as CSV (RFC 4180), for spreadsheets.

use std::borrow::Cow;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::http::RequestError;

/// A row of a table: a struct without nested values.
pub(crate) trait CsvRow: Serialize {
    /// The names of the columns, also of a table without rows.
    const HEADER: &'static [&'static str];
}

/// A response with a table.
pub(super) fn response<T: CsvRow>(rows: &[T]) -> Result<Response, RequestError> {
    let content_type = [(header::CONTENT_TYPE, "text/csv; charset=utf-8")];
    Ok((content_type, write_csv(rows, true).map_err(interrupted)?).into_response())
}

/// The rows, below the names of the columns if `header` is true.
pub(crate) fn write_csv<T: CsvRow>(rows: &[T], header: bool) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if header {
        writer.write_record(T::HEADER)?;
    }
    for record in csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(serialized(rows)?.as_slice())
        .records()
    {
        writer.write_record(record?.iter().map(|cell| inert(cell).into_owned()))?;
    }
    Ok(writer.into_inner().map_err(|error| error.into_error())?)
}

/// The rows as serde sees them.
fn serialized<T: CsvRow>(rows: &[T]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new()
        .has_headers(false)
        .from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    Ok(writer.into_inner().map_err(|error| error.into_error())?)
}

fn interrupted(error: csv::Error) -> RequestError {
    RequestError::Interrupted {
        reason: error.to_string(),
    }
}

/// A cell that no spreadsheet takes for a formula. Anybody can put text into the log of refusals.
fn inert(cell: &str) -> Cow<'_, str> {
    match cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{cell}").into(),
        false => cell.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Pair(&'static str, &'static str);

    impl CsvRow for Pair {
        const HEADER: &'static [&'static str] = &["a", "b"];
    }

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        let rows = [Pair("=1+1", "a,\"b\"\nc"), Pair("-x", "")];
        let written = write_csv(&rows, true).unwrap();
        let expected = "a,b\n'=1+1,\"a,\"\"b\"\"\nc\"\n'-x,\n";
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }
}
