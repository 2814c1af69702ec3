//! The overview: counts, and registrations per day.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use maud::html;

use super::frame;
use super::state::Page;

const TITLE: &str = "Overview";

pub(super) async fn show(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    match page.authorized(&headers) {
        Ok(session) => frame::page(&session, TITLE, &html! {}).into_response(),
        Err(response) => response,
    }
}
