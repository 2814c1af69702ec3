//! The imported identities, newest first, with a search.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::error::PageError;
use super::frame;
use super::identity::address;
use super::session::Session;
use super::state::Page;
use super::table::{foreign, outcome, shortened, table};
use crate::store::{IdentityRow, StoreError};

const TITLE: &str = "Identities";
const COLUMNS: [&str; 5] = ["Hardware id", "Hardware", "Issuer", "Key digest", "Imported"];
/// The most bytes of HTML of the text that is searched for, when it is shown again.
const MAX_SEARCH: usize = 1000;
/// Rows on a page.
pub(super) const ROWS: u32 = 50;

#[derive(Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
    before: Option<i64>,
}

pub(super) async fn show(
    State(page): State<Arc<Page>>,
    Query(search): Query<Search>,
    headers: HeaderMap,
) -> Response {
    let session = match page.authorized(&headers) {
        Ok(session) => session,
        Err(response) => return response,
    };
    let before = search.before.unwrap_or(i64::MAX);
    let store = &page.service.store;
    match store.search_identities(search.q.trim(), before, ROWS).await {
        Ok(rows) => frame::page(&session, TITLE, &list(&search.q, &rows)).into_response(),
        Err(error) => unavailable(&session, TITLE, error),
    }
}

pub(super) fn unavailable(session: &Session, title: &str, error: StoreError) -> Response {
    tracing::error!("{error}");
    let error = PageError::from(error);
    frame::failed(session, title, StatusCode::SERVICE_UNAVAILABLE, &error)
}

fn list(text: &str, rows: &[IdentityRow]) -> Markup {
    let last = rows
        .last()
        .filter(|_| rows.len() == ROWS as usize)
        .map(|row| row.id);
    let text = &*shortened(text.trim(), MAX_SEARCH);
    let older = last.map(|id| format!("/?before={id}&q={}", encoded(text)));
    html! {
        form.sheet method="get" action="/" role="search" {
            label for="q" { "Search by id, name, manufacturer, issuer or digest" }
            div.fields {
                input #q type="search" name="q" value=(text);
                button { "Search" }
            }
        }
        @if rows.is_empty() {
            p { @if text.is_empty() { "No identities are imported." } @else { "No identities match." } }
        } @else {
            (table(COLUMNS, rows.iter().map(cells)))
        }
        (frame::older(older.as_deref()))
    }
}

fn cells(row: &IdentityRow) -> [Markup; 5] {
    [
        html! { strong { (foreign(&row.hardware_id)) } },
        html! { (foreign(&row.manufacturer)) ", " (foreign(&row.hardware_name)) },
        foreign(&row.issuer),
        html! {
            a href=(address(&row.digest)) { code { (row.digest) } }
            @if row.blocked { p { (outcome(false, "blocked", None)) } }
            @if row.revision > 0 { p { "Revision " (row.revision) } }
        },
        frame::time(row.imported),
    ]
}

/// Text, percent-encoded for a query string.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let encode = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
