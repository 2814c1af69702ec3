//! The log of registrations, and the open nonces.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::frame;
use super::identities::{ROWS, unavailable};
use super::state::Page;
use super::table::{foreign, outcome, table};
use crate::store::{LogRow, OpenNonces};

const TITLE: &str = "Registrations";
const NONCES: &str = "Nonces";
const COLUMNS: [&str; 6] = ["Time", "Model", "Serial", "Outcome", "Device", "From"];

#[derive(Deserialize)]
pub(super) struct Paging {
    before: Option<i64>,
}

pub(super) async fn show(
    State(page): State<Arc<Page>>,
    Query(paging): Query<Paging>,
    headers: HeaderMap,
) -> Response {
    let session = match page.authorized(&headers) {
        Ok(session) => session,
        Err(response) => return response,
    };
    let before = paging.before.unwrap_or(i64::MAX);
    match page.service.store.recent_registrations(before, ROWS).await {
        Ok(rows) => frame::page(&session, TITLE, &log(&rows)).into_response(),
        Err(error) => unavailable(&session, TITLE, error),
    }
}

fn log(rows: &[LogRow]) -> Markup {
    let last = rows
        .last()
        .filter(|_| rows.len() == ROWS as usize)
        .map(|row| row.id);
    let older = last.map(|id| format!("/registrations?before={id}"));
    html! {
        @if rows.is_empty() {
            p { "No registrations are logged." }
        } @else {
            (table(COLUMNS, rows.iter().map(cells)))
        }
        (frame::older(older.as_deref()))
    }
}

fn cells(row: &LogRow) -> [Markup; 6] {
    let row = &row.entry;
    let good = ["issued", "repeated"].contains(&row.outcome.as_str());
    let reason = Some(row.reason.as_str()).filter(|reason| !reason.is_empty());
    [
        frame::time(row.time),
        html! { (foreign(&row.brand)) "/" (foreign(&row.model)) },
        html! { strong { (foreign(&row.serial)) } },
        outcome(good, &row.outcome, reason),
        html! { code { (foreign(&row.device)) } },
        html! { (row.address) },
    ]
}

pub(super) async fn nonces(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    let session = match page.authorized(&headers) {
        Ok(session) => session,
        Err(response) => return response,
    };
    match page.service.store.open_nonces(ROWS).await {
        Ok(open) => frame::page(&session, NONCES, &list(&open)).into_response(),
        Err(error) => unavailable(&session, NONCES, error),
    }
}

fn list(open: &OpenNonces) -> Markup {
    html! {
        p { "Open: " strong { (open.count) } @if open.count > u64::from(ROWS) { ". The " (ROWS) " that expire first:" } }
        @if !open.first.is_empty() {
            (table(["Nonce", "Expires", "Left"], open.first.iter().map(|nonce| nonce_cells(nonce, open.now))))
        }
    }
}

fn nonce_cells((nonce, expires): &(String, i64), now: i64) -> [Markup; 3] {
    [
        // Enough to find the nonce in the log of a device, too little to use it.
        html! { code { (nonce.chars().take(12).collect::<String>()) "…" } },
        frame::time(*expires),
        html! { (expires - now) " s" },
    ]
}
