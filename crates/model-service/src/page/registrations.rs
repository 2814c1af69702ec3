//! The log of registrations, and the nonces that are open.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::identities::{ROWS, query, unavailable};
use super::{authorized, frame};
use crate::service::Service;
use crate::store::{self, EntryRow, OpenNonces};

const TITLE: &str = "Registrations";
const NONCES: &str = "Nonces";

#[derive(Deserialize)]
pub(super) struct Paging {
    before: Option<i64>,
}

pub(super) async fn show(
    State(service): State<Arc<Service>>,
    Query(paging): Query<Paging>,
    headers: HeaderMap,
) -> Response {
    let session = match authorized(&service, &headers) {
        Ok(session) => session,
        Err(response) => return response,
    };
    let before = paging.before.unwrap_or(i64::MAX);
    match query(&service, move |connection| {
        store::recent(connection, before, ROWS)
    })
    .await
    {
        Ok(rows) => frame::page(&session, TITLE, &table(&rows)).into_response(),
        Err(error) => unavailable(&session, TITLE, &error),
    }
}

fn table(rows: &[EntryRow]) -> Markup {
    let last = rows
        .last()
        .filter(|_| rows.len() == ROWS as usize)
        .map(|row| row.id);
    let older = last.map(|id| format!("/registrations?before={id}"));
    html! {
        @if rows.is_empty() {
            p { "Nothing is here." }
        } @else {
            table {
                thead { tr { th { "Time" } th { "Model" } th { "Serial" } th { "Outcome" } th { "Device" } th { "From" } } }
                tbody {
                    @for row in rows {
                        tr {
                            td data-label="Time" { (frame::time(row.time)) }
                            td data-label="Model" { (row.brand) "/" (row.model) }
                            td data-label="Serial" { (row.serial) }
                            td data-label="Outcome" {
                                strong { (row.outcome) }
                                @if !row.reason.is_empty() { p { (row.reason) } }
                            }
                            td data-label="Device" { code { (row.device) } }
                            td data-label="From" { (row.address) }
                        }
                    }
                }
            }
        }
        (frame::older(older.as_deref()))
    }
}

pub(super) async fn nonces(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    let session = match authorized(&service, &headers) {
        Ok(session) => session,
        Err(response) => return response,
    };
    let now = Timestamp::now().as_second();
    match query(&service, move |connection| {
        store::open_nonces(connection, now, ROWS)
    })
    .await
    {
        Ok(open) => frame::page(&session, NONCES, &list(&open, now)).into_response(),
        Err(error) => unavailable(&session, NONCES, &error),
    }
}

fn list(open: &OpenNonces, now: i64) -> Markup {
    html! {
        p { "Open: " strong { (open.count) } @if open.count > u64::from(ROWS) { ". The " (ROWS) " that expire first:" } }
        @if !open.first.is_empty() {
            table {
                thead { tr { th { "Nonce" } th { "Expires" } th { "Left" } } }
                tbody {
                    @for (nonce, expires) in &open.first {
                        tr {
                            // Enough to find it in a device's log, too little to use it.
                            td data-label="Nonce" { code { (nonce.chars().take(12).collect::<String>()) "…" } }
                            td data-label="Expires" { (frame::time(*expires)) }
                            td data-label="Left" { (expires - now) " s" }
                        }
                    }
                }
            }
        }
    }
}
