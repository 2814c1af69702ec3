//! The imported identities, newest first, with a search.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::session::Session;
use super::{authorized, frame};
use crate::service::Service;
use crate::store::{self, IdentityRow, StoreError};

const TITLE: &str = "Identities";
/// Rows on a page.
pub(super) const ROWS: u32 = 50;

#[derive(Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
    before: Option<i64>,
}

pub(super) async fn show(
    State(service): State<Arc<Service>>,
    Query(search): Query<Search>,
    headers: HeaderMap,
) -> Response {
    let session = match authorized(&service, &headers) {
        Ok(session) => session,
        Err(response) => return response,
    };
    let text = search.q.trim().to_owned();
    let found = query(&service, move |connection| {
        store::search(connection, &text, search.before.unwrap_or(i64::MAX), ROWS)
    });
    match found.await {
        Ok(rows) => frame::page(&session, TITLE, &table(&search.q, &rows)).into_response(),
        Err(error) => unavailable(&session, TITLE, &error),
    }
}

/// Reads from the database in a thread that may wait.
pub(super) async fn query<T: Send + 'static>(
    service: &Service,
    job: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let store = service.store.clone();
    let read = spawn_blocking(move || store.read(job));
    read.await.unwrap_or(Err(StoreError::NotWritten))
}

pub(super) fn unavailable(session: &Session, title: &str, error: &StoreError) -> Response {
    tracing::error!("{error}");
    let problem = format!("The database cannot be read: {error}. Try again.");
    frame::failed(session, title, StatusCode::SERVICE_UNAVAILABLE, &problem)
}

fn table(text: &str, rows: &[IdentityRow]) -> Markup {
    let last = rows
        .last()
        .filter(|_| rows.len() == ROWS as usize)
        .map(|row| row.id);
    let older = last.map(|id| format!("/?before={id}&q={}", encoded(text.trim())));
    html! {
        form.search method="get" action="/" role="search" {
            label for="q" { "Search" }
            input #q type="search" name="q" value=(text) placeholder="id, name, manufacturer, issuer or digest";
            button { "Search" }
        }
        @if rows.is_empty() {
            p { "Nothing is here" @if !text.is_empty() { " that holds “" (text) "”" } "." }
        } @else {
            table {
                thead { tr { th { "Hardware id" } th { "Hardware" } th { "Issuer" } th { "Key digest" } th { "Imported" } } }
                tbody {
                    @for row in rows {
                        tr {
                            td data-label="Hardware id" { strong { (row.hardware_id) } }
                            td data-label="Hardware" { (row.manufacturer) ", " (row.hardware_name) }
                            td data-label="Issuer" { (row.issuer) }
                            td data-label="Key digest" {
                                code { (row.digest) }
                                @if row.revision > 0 { " revision " (row.revision) }
                            }
                            td data-label="Imported" { (frame::time(row.imported)) }
                        }
                    }
                }
            }
        }
        (frame::older(older.as_deref()))
    }
}

/// Text in a query string.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let encode = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
