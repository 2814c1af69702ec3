//! The open nonces.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::cells::{count, counted, time};
use super::list::{ROWS, empty};
use super::state::Page;
use super::table::table;
use super::{frame, list};
use crate::store::OpenNonces;

const TITLE: &str = "Nonces";

pub(super) async fn show(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    let session = match page.authorized(&headers) {
        Ok(session) => session,
        Err(response) => return response,
    };
    match page.service.store.open_nonces(ROWS).await {
        Ok(open) => frame::page(&session, TITLE, &content(&open, page.service.nonce_seconds)).into_response(),
        Err(error) => list::unavailable(&session, TITLE, error),
    }
}

fn content(open: &OpenNonces, valid: i64) -> Markup {
    if open.first.is_empty() {
        let advice = html! {
            "A device requests a nonce before it requests its serial. It is valid for " (valid) " seconds. Request one to try:"
        };
        return empty("No open nonces", &advice, Some("curl -X POST http://HOST:PORT/v1/request-id"));
    }
    let caption = html! {
        strong { (counted(open.count, "open nonce")) }
        @if open.count > u64::from(ROWS) { "; the " (count(ROWS.into())) " that expire first" }
    };
    let rows = open.first.iter().map(|nonce| cells(nonce, open.now));
    table(&caption, ["Nonce", "Expires", "Left"], rows)
}

fn cells((nonce, expires): &(String, i64), now: i64) -> [Markup; 3] {
    [
        // Enough to find the nonce in the log of a device, too little to use it.
        html! { code { (nonce.chars().take(12).collect::<String>()) "…" } },
        time(*expires),
        html! { (expires - now) " s" },
    ]
}
