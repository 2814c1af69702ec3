//! The frame of every page: menu, title, errors.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use failure::Diagnostic;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use super::error::PageError;
use super::session::Session;
use super::table::shortened;
use crate::message::cause;

/// The pages, in the order of the menu.
const MENU: [(&str, &str); 4] = [
    ("/", "Identities"),
    ("/registrations", "Registrations"),
    ("/nonces", "Nonces"),
    ("/import", "Import"),
];

/// The most bytes of HTML for the cause of an error.
const MAX_CAUSE: usize = 4000;

fn document(title: &str, body: &Markup) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · model service" }
                link rel="stylesheet" href="/style.css";
            }
            body { (body) }
        }
    };
    Html(page.into_string())
}

/// A page without the menu.
pub(super) fn bare(title: &str, content: &Markup) -> Html<String> {
    let body = html! {
        main.narrow {
            h1 { (title) }
            (content)
        }
    };
    document(title, &body)
}

/// A page with the menu, for a person who is logged in.
pub(super) fn page(session: &Session, title: &str, content: &Markup) -> Html<String> {
    let body = html! {
        header {
            nav aria-label="Pages" {
                @for (address, name) in MENU {
                    a href=(address) aria-current=[(name == title).then_some("page")] { (name) }
                }
            }
            form method="post" action="/logout" {
                (csrf(session))
                button.quiet { "Log out" }
            }
        }
        main {
            h1 { (title) }
            (content)
        }
    };
    document(title, &body)
}

/// The hidden field with the token of the session.
pub(super) fn csrf(session: &Session) -> Markup {
    html! { input type="hidden" name="csrf" value=(session.csrf()); }
}

/// The response to a form that does not belong to the session.
pub(super) fn stale() -> Response {
    let text = html! {
        (problem(&PageError::StaleForm))
        p { a href="/" { "Back" } }
    };
    (StatusCode::FORBIDDEN, bare("Refused", &text)).into_response()
}

/// The response to a request that failed.
pub(super) fn failed(session: &Session, title: &str, status: StatusCode, error: &dyn Diagnostic) -> Response {
    (status, page(session, title, &problem(error))).into_response()
}

/// An error as `Cause. Advice. [code]`.
pub(super) fn problem(error: &dyn Diagnostic) -> Markup {
    let cause = cause(error);
    let mut letters = cause.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let cause = first.chain(letters).collect::<String>();
    html! {
        p.message.bad role="alert" {
            (shortened(&cause, MAX_CAUSE)) ". " (failure::advice(error)) ". " code { "[" (failure::code(error)) "]" }
        }
    }
}

/// A time in UTC, from seconds since the epoch.
pub(super) fn time(seconds: i64) -> Markup {
    let time = Timestamp::from_second(seconds).unwrap_or_default().to_string();
    let (day, rest) = time.split_once('T').unwrap_or((&time, ""));
    html! { time datetime=(time) { span { (day) } " " span { (rest.trim_end_matches('Z')) " UTC" } } }
}

/// The link to older entries.
pub(super) fn older(href: Option<&str>) -> Markup {
    html! {
        @if let Some(href) = href {
            p { a rel="next" href=(href) { "Older →" } }
        }
    }
}
