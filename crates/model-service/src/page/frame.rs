//! The frame of every page: product, menu, title, version; and how errors are shown.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use failure::Diagnostic;
use maud::{DOCTYPE, Markup, html};

use super::cells::{sentence, shortened};
use super::error::PageError;
use super::session::Session;
use crate::message::cause;

const PRODUCT: &str = "Model service";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The pages, in the order of the menu.
const MENU: [(&str, &str); 7] = [
    ("/", "Overview"),
    ("/identities", "Identities"),
    ("/registrations", "Registrations"),
    ("/refusals", "Refusals"),
    ("/serials", "Serials"),
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
                script src="/copy.js" defer {}
            }
            body {
                (body)
                footer {
                    span { (PRODUCT) " " (VERSION) }
                    span { "Times are in UTC" }
                }
            }
        }
    };
    Html(page.into_string())
}

/// A page without the menu.
pub(super) fn bare(title: &str, content: &Markup) -> Html<String> {
    let body = html! {
        main.narrow {
            p.brand { (PRODUCT) }
            h1 { (title) }
            (content)
        }
    };
    document(title, &body)
}

/// A page in the menu, for a person who is logged in.
pub(super) fn page(session: &Session, title: &str, content: &Markup) -> Html<String> {
    framed(session, title, title, content)
}

/// The page of one entry of the list `section`, which is in the menu.
pub(super) fn detail(session: &Session, section: &str, title: &str, content: &Markup) -> Html<String> {
    framed(session, section, title, content)
}

fn framed(session: &Session, section: &str, title: &str, content: &Markup) -> Html<String> {
    let body = html! {
        a.skip href="#content" { "Skip to the content" }
        (header(session, section, section == title))
        main #content tabindex="-1" {
            @if let Some((address, name)) = MENU.iter().find(|(_, name)| *name == section && section != title) {
                p.back { a href=(address) { "← " (name) } }
            }
            h1 { (title) }
            (content)
        }
    };
    document(title, &body)
}

fn header(session: &Session, section: &str, is_section: bool) -> Markup {
    let current = if is_section { "page" } else { "true" };
    html! {
        header {
            div.bar {
                a.brand href="/" { (PRODUCT) }
                nav aria-label="Pages" {
                    @for (address, name) in MENU {
                        a href=(address) aria-current=[(name == section).then_some(current)] { (name) }
                    }
                }
                form method="post" action="/logout" {
                    (csrf(session))
                    button.quiet { "Log out" }
                }
            }
        }
    }
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
    let cause = sentence(&cause(error), "");
    html! {
        p.message.bad role="alert" {
            (shortened(&cause, MAX_CAUSE)) ". " (failure::advice(error)) ". " code { "[" (failure::code(error)) "]" }
        }
    }
}
