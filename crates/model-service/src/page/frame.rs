//! What stands around every page.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use super::session::Session;

/// The pages, in the order of the menu.
const MENU: [(&str, &str); 4] = [
    ("/", "Identities"),
    ("/registrations", "Registrations"),
    ("/nonces", "Nonces"),
    ("/import", "Import"),
];

/// A page without the menu.
pub(super) fn bare(title: &str, content: &Markup) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · model service" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                (content)
            }
        }
    };
    Html(page.into_string())
}

/// A page of someone who is logged in.
pub(super) fn page(session: &Session, title: &str, content: &Markup) -> Html<String> {
    let content = html! {
        header {
            nav {
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
    bare(title, &content)
}

/// The hidden field that shows where a form comes from.
pub(super) fn csrf(session: &Session) -> Markup {
    html! { input type="hidden" name="csrf" value=(session.csrf()); }
}

/// The answer to a form that was not made in this session.
pub(super) fn stale() -> Response {
    let text = html! {
        p.problem role="alert" { "This form is not one of your session. Load the page again and send it once more." }
        p { a href="/" { "Back" } }
    };
    (StatusCode::FORBIDDEN, bare("Refused", &text)).into_response()
}

/// The answer where something failed.
pub(super) fn failed(session: &Session, title: &str, status: StatusCode, problem: &str) -> Response {
    let text = html! { p.problem role="alert" { (problem) } };
    (status, page(session, title, &text)).into_response()
}

/// A time for people, in UTC.
pub(super) fn time(seconds: i64) -> Markup {
    let time = Timestamp::from_second(seconds).unwrap_or_default().to_string();
    html! { time datetime=(time) { (time.replace('T', " ")) } }
}

/// The link to what is older.
pub(super) fn older(href: Option<&str>) -> Markup {
    html! {
        @if let Some(href) = href {
            p { a rel="next" href=(href) { "Older →" } }
        }
    }
}
