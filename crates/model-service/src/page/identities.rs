//! The imported identities, newest first, with a search.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::cells::{digest, foreign, outcome, time};
use super::identity::address;
use super::list::{ROWS, empty};
use super::state::Page;
use super::table::table;
use super::{form, frame, list};
use crate::store::IdentityRow;

const TITLE: &str = "Identities";
const COLUMNS: [&str; 5] = ["Hardware id", "Hardware", "Issuer", "Key digest", "Imported"];
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
        Ok(rows) => frame::page(&session, TITLE, &content(search.q.trim(), &rows)).into_response(),
        Err(error) => list::unavailable(&session, TITLE, error),
    }
}

fn content(text: &str, rows: &[IdentityRow]) -> Markup {
    html! {
        (form::filters("/identities", !text.is_empty(), &form::search("Id, name, manufacturer, issuer or digest", text)))
        @if !rows.is_empty() {
            (table(&html! { "Identities" }, COLUMNS, rows.iter().map(cells)))
        } @else if text.is_empty() {
            (nothing())
        } @else {
            (empty("No identities match", &html! { "Search for less, or clear the filters." }, None))
        }
    }
}

fn nothing() -> Markup {
    let advice = html! {
        "Import the assertions that " code { "hardware-identity sign" } " wrote: "
        a href="/import" { "upload the file" } ", or run:"
    };
    empty(
        "No identities are imported",
        &advice,
        Some("model-service import --config FILE signed.assert"),
    )
}

fn cells(row: &IdentityRow) -> [Markup; 5] {
    [
        foreign(&row.hardware_id),
        html! { (foreign(&row.manufacturer)) ", " (foreign(&row.hardware_name)) },
        foreign(&row.issuer),
        html! {
            (digest(&row.digest, Some(&address(&row.digest))))
            @if row.blocked { (outcome(false, "blocked", None)) }
            @if row.revision > 0 { p.reason { "Revision " (row.revision) } }
        },
        time(row.imported),
    ]
}
