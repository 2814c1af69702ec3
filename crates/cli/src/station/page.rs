//! The page with the state of the lot: plain HTML that works without scripts. maud escapes every value
//! in it.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};
use pages::table;

use super::done::DoneDevice;
use super::failures::Failure;
use super::summary::LotSummary;

/// The most rows of a list; `station lot` prints all.
const MOST_ROWS: usize = 200;
/// The most devices in the list of those that were proven last.
const MOST_DONE: usize = 20;

/// Forbids browsers to run scripts, to frame the page and to store it.
const POLICY: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

fn policy() -> HeaderMap {
    let headers = POLICY.into_iter();
    headers
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .collect()
}

pub(super) async fn style() -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (policy(), content_type, pages::STYLE).into_response()
}

/// The response that lets a browser ask for the password.
pub(super) fn ask_for_password() -> Response {
    let realm = [(
        header::WWW_AUTHENTICATE,
        "Basic realm=\"station\", charset=\"UTF-8\"",
    )];
    let text =
        html! { p { "The password is in the file of --page-password-file; the user name does not matter." } };
    let page = document("Password needed", &text);
    (StatusCode::UNAUTHORIZED, policy(), realm, page).into_response()
}

/// The page.
pub(super) fn lot(summary: &LotSummary) -> Response {
    let content = html! {
        (figures(summary))
        p { a.reload href="/" { "Reload" } }
        @if !summary.failed.is_empty() { (failed(&summary.failed)) }
        @if !summary.done.is_empty() { (done(&summary.done)) }
        @if !summary.missing.is_empty() { (missing(&summary.missing)) }
        @if summary.done.is_empty() && summary.failed.is_empty() {
            p.hint { "No device has come yet." }
        }
    };
    (policy(), document("Lot", &content)).into_response()
}

fn document(title: &str, content: &Markup) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · station" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                header { div.bar { span.brand { "Station" } } }
                main {
                    h1 { (title) }
                    (content)
                }
                footer {
                    span { "hardware-identity " (env!("CARGO_PKG_VERSION")) }
                    span { "Times are in UTC" }
                }
            }
        }
    };
    Html(page.into_string())
}

fn figures(summary: &LotSummary) -> Markup {
    let missing = summary.expected.map(|_| summary.missing.len());
    html! {
        p.hint { "Batch " code { (summary.batch) } }
        dl.figures {
            @for (name, number) in [
                ("Expected", summary.expected),
                ("Done", Some(summary.done.len())),
                ("Missing", missing),
                ("Failed", Some(summary.failed.len())),
                ("Done in the last hour", Some(summary.done_last_hour)),
            ] {
                div {
                    dt { (name) }
                    dd { @match number { Some(number) => (number), None => "no list" } }
                }
            }
        }
    }
}

fn failed(failures: &[Failure]) -> Markup {
    let newest = failures.iter().rev().take(MOST_ROWS);
    let rows = newest.map(|failure| {
        let id = match failure.hardware_id.is_empty() {
            true => html! { "unknown" },
            false => html! { bdi { (failure.hardware_id) } },
        };
        let reason = html! { code { (failure.code) } p.reason { bdi { (failure.cause) } } };
        [id, reason, time(&failure.time)]
    });
    html! {
        h2 { "Failed" }
        (table(&caption(failures.len(), MOST_ROWS), ["Hardware id", "Reason", "Time"], rows))
    }
}

fn missing(ids: &[String]) -> Markup {
    html! {
        h2 { "Missing" }
        p.hint { (caption(ids.len(), MOST_ROWS)) }
        ul.ids { @for id in ids.iter().take(MOST_ROWS) { li { bdi { (id) } } } }
    }
}

fn done(devices: &[DoneDevice]) -> Markup {
    let newest = devices.iter().rev().take(MOST_DONE);
    let rows = newest.map(|device| {
        let id = &device.identity.hardware_id;
        [
            html! { bdi { (id) } },
            html! { span.outcome.good { (device.result) } },
            time(&device.time),
        ]
    });
    html! {
        h2 { "Done" }
        (table(&caption(devices.len(), MOST_DONE), ["Hardware id", "Result", "Time"], rows))
    }
}

/// The number of devices, and how many of them are shown.
fn caption(all: usize, most: usize) -> Markup {
    let noun = if all == 1 { "device" } else { "devices" };
    html! {
        (all) " " (noun)
        @if all > most {
            ", of which " (most) " are shown; " code { "hardware-identity station lot" } " prints all"
        }
    }
}

/// A time in RFC 3339, without its fraction.
fn time(text: &str) -> Markup {
    let (date, clock) = text.split_once('T').unwrap_or((text, ""));
    let clock = clock.split(['.', 'Z']).next().unwrap_or_default();
    html! { time datetime=(text) { (date) " " (clock) } }
}
