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

/// A page of someone who is logged in.
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

/// The hidden field that shows where a form comes from.
pub(super) fn csrf(session: &Session) -> Markup {
    html! { input type="hidden" name="csrf" value=(session.csrf()); }
}

/// The answer to a form that was not made in this session.
pub(super) fn stale() -> Response {
    let text = html! {
        (problem("This form is not one of your session. Load the page again and send it once more."))
        p { a href="/" { "Back" } }
    };
    (StatusCode::FORBIDDEN, bare("Refused", &text)).into_response()
}

/// The answer where something failed, which `text` says with or without a capital and a full stop.
pub(super) fn failed(session: &Session, title: &str, status: StatusCode, text: &str) -> Response {
    (status, page(session, title, &problem(&sentence(text)))).into_response()
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let stop = if text.ends_with(['.', '…']) { "" } else { "." };
    first.chain(letters).collect::<String>() + stop
}

/// What went wrong, and what to do.
pub(super) fn problem(text: &str) -> Markup {
    html! { p.message.bad role="alert" { (text) } }
}

/// A time for people, in UTC.
pub(super) fn time(seconds: i64) -> Markup {
    let time = Timestamp::from_second(seconds).unwrap_or_default().to_string();
    let (day, rest) = time.split_once('T').unwrap_or((&time, ""));
    html! { time datetime=(time) { span { (day) } " " span { (rest.trim_end_matches('Z')) " UTC" } } }
}

/// The link to what is older.
pub(super) fn older(href: Option<&str>) -> Markup {
    html! {
        @if let Some(href) = href {
            p { a rel="next" href=(href) { "Older →" } }
        }
    }
}
