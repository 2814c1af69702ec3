//! Lists as CSV files: all entries that match the filters.

use std::io;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _};

use super::error::PageError;
use super::{frame, list};
use crate::http::{CsvRow, write_csv};
use crate::store::{Cursor, Listing, PageRequest, StoreError};

/// Rows that are read at a time.
const ROWS: u32 = 1000;

/// Why no file is sent. The response is a page.
pub(super) struct NoFile(PageError);

impl<E: Into<PageError>> From<E> for NoFile {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for NoFile {
    fn into_response(self) -> Response {
        let page = frame::bare("No file", &frame::problem(&self.0));
        (list::status(&self.0), page).into_response()
    }
}

/// A response with the file `NAME.csv`. `list` reads a page of the list; all but the first one are
/// read while the file is sent.
pub(super) async fn download<R, T, L, F>(name: &str, list: L) -> Result<Response, NoFile>
where
    R: Send + 'static,
    T: From<R> + CsvRow,
    L: Fn(PageRequest) -> F + Send + 'static,
    F: Future<Output = Result<Listing<R>, StoreError>> + Send + 'static,
{
    let first = list(part(None)).await?;
    let next = first.next;
    let begin = lines::<R, T>(first, true);
    let rest = stream::try_unfold(next, move |next| {
        let more = next.map(|cursor| list(part(Some(cursor))));
        async move {
            let Some(more) = more else { return Ok(None) };
            let listing = more.await.map_err(io::Error::other)?;
            let next = listing.next;
            Ok(Some((lines::<R, T>(listing, false)?, next)))
        }
    });
    let begin = stream::once(async move { begin });
    Ok(file(name, Body::from_stream(begin.chain(rest))))
}

/// A response with the file `NAME.csv`.
pub(super) fn file(name: &str, content: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}.csv\""),
        ),
    ];
    (headers, content).into_response()
}

fn part(after: Option<Cursor>) -> PageRequest {
    PageRequest {
        after,
        limit: ROWS,
        counted: false,
    }
}

fn lines<R, T: From<R> + CsvRow>(listing: Listing<R>, header: bool) -> io::Result<Vec<u8>> {
    let rows: Vec<T> = listing.rows.into_iter().map(T::from).collect();
    write_csv(&rows, header).map_err(io::Error::other)
}
