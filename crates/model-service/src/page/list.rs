//! The frame of a list: position, CSV, links to other pages, and what to do if it is empty.

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::error::PageError;
use super::frame;
use super::session::Session;
use crate::store::StoreError;

/// Rows on a page.
pub(super) const ROWS: u32 = 50;

/// Says what to do about an empty list; `command` is an example.
pub(super) fn empty(what: &str, advice: &Markup, command: Option<&str>) -> Markup {
    html! {
        div.empty {
            p.what { (what) }
            p { (advice) }
            @if let Some(command) = command { pre { code { (command) } } }
        }
    }
}

/// The response if the database cannot be read.
pub(super) fn unavailable(session: &Session, title: &str, error: StoreError) -> Response {
    tracing::error!("{error}");
    let error = PageError::from(error);
    frame::failed(session, title, StatusCode::SERVICE_UNAVAILABLE, &error)
}
