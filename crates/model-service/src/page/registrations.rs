//! The log of registrations.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::cells::{digest, foreign, outcome, time};
use super::list::{ROWS, empty};
use super::state::Page;
use super::table::table;
use super::{frame, list};
use crate::store::LogRow;

const TITLE: &str = "Registrations";
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
        Err(error) => list::unavailable(&session, TITLE, error),
    }
}

fn log(rows: &[LogRow]) -> Markup {
    html! {
        @if rows.is_empty() {
            (empty("No registrations are logged", &html! { "Set the address of this service in the gadget of a device:" }, Some("device-service.url = http://HOST:PORT/v1/")))
        } @else {
            (table(&html! { "Registrations" }, COLUMNS, rows.iter().map(cells)))
        }
    }
}

fn cells(row: &LogRow) -> [Markup; 6] {
    let row = &row.entry;
    let good = ["issued", "repeated"].contains(&row.outcome.as_str());
    let reason = Some(row.reason.as_str()).filter(|reason| !reason.is_empty());
    [
        time(row.time),
        html! { (foreign(&row.brand)) "/" (foreign(&row.model)) },
        foreign(&row.serial),
        outcome(good, &row.outcome, reason),
        digest(&row.device, None),
        html! { (row.address) },
    ]
}
