//! One serial: its device, its assertions, its history, and its release.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use pages::table;
use serde::Deserialize;

use super::cells::{digest, foreign, foreign_up_to, time};
use super::error::PageError;
use super::fields::Fields;
use super::filter::query;
use super::history::{self, SHOWN, changes};
use super::session::Session;
use super::state::Page;
use super::{form, frame, identity, list, serials};
use crate::store::{Authorship, IssuedAssertion, SerialHistory, SerialNumber, WithdrawalError, identity_of};

const TITLE: &str = "Serial";
pub(super) const ADDRESS: &str = "/serials/detail";
/// The most bytes of HTML for a value, longer than in a list.
const MAX_VALUE: usize = 2000;

#[derive(Deserialize)]
pub(super) struct Wanted {
    brand: String,
    model: String,
    serial: String,
}

/// The form that releases a serial.
#[derive(Deserialize)]
pub(super) struct Release {
    csrf: String,
    reason: String,
    #[serde(flatten)]
    wanted: Wanted,
}

impl From<Wanted> for SerialNumber {
    fn from(Wanted { brand, model, serial }: Wanted) -> Self {
        Self { brand, model, serial }
    }
}

pub(super) async fn show(
    session: Session,
    State(page): State<Arc<Page>>,
    Fields(wanted): Fields<Wanted>,
) -> Response {
    let number = SerialNumber::from(wanted);
    match find(&page, &number).await {
        Ok(history) => {
            let content = content(&session, &number, &history);
            frame::detail(&session, serials::TITLE, TITLE, &content).into_response()
        }
        Err(error) => list::failed(&session, TITLE, &error),
    }
}

async fn find(page: &Page, number: &SerialNumber) -> Result<SerialHistory, PageError> {
    let history = page.service.store.serial_history(number).await?;
    Ok(history.ok_or_else(|| WithdrawalError::unknown_serial(number))?)
}

pub(super) async fn release(
    session: Session,
    State(page): State<Arc<Page>>,
    Fields(form): Fields<Release>,
) -> Response {
    if !session.accepts(&form.csrf) {
        return frame::stale();
    }
    let number = SerialNumber::from(form.wanted);
    let back = address(&number);
    let released = page.service.with_store(move |store| {
        store.release_serial(&number, Authorship::new(identity::BY.to_owned(), &form.reason)?)
    });
    match released.await {
        Ok(()) => Redirect::to(&back).into_response(),
        Err(error) => list::failed(&session, TITLE, &error.into()),
    }
}

/// The address of the page of a serial.
fn address(number: &SerialNumber) -> String {
    let fields = [
        ("brand", number.brand.as_str()),
        ("model", &number.model),
        ("serial", &number.serial),
    ];
    format!("{ADDRESS}{}", query(fields))
}

/// The serial, with a link to its page.
pub(super) fn link(number: &SerialNumber) -> Markup {
    html! { a href=(address(number)) { (foreign(&number.serial)) } }
}

/// The device that has a serial, with a link to its identity.
pub(super) fn holder(device: Option<&str>) -> Markup {
    let Some(device) = device else {
        return html! { "released" };
    };
    match (identity_of(device), device.split_once(' ')) {
        (Some(key_digest), _) => digest(key_digest, Some(&identity::address(key_digest))),
        (None, Some((_, key))) => digest(key, None),
        (None, None) => foreign(device),
    }
}

fn content(session: &Session, number: &SerialNumber, history: &SerialHistory) -> Markup {
    let value = |text: &str| foreign_up_to(text, MAX_VALUE);
    html! {
        div.sheet {
            dl.facts {
                dt { "Serial" } dd { strong { (value(&number.serial)) } }
                dt { "Model" } dd { (value(&number.brand)) "/" (value(&number.model)) }
                dt { "Device" } dd { (holder(history.device.as_deref())) }
            }
        }
        h2 { "Assertions" }
        (table(
            &history::caption(history.assertions.len() as u64, ["assertion", "assertions"]),
            ["Revision", "Issued", "Device key", "Signed with"],
            history.assertions.iter().take(SHOWN).map(cells),
        ))
        @for issued in history.assertions.iter().take(SHOWN) {
            (identity::assertion(&html! { "The assertion with revision " (issued.revision) }, &issued.assertion))
        }
        (changes(&history.changes))
        @if history.device.is_some() { (release_form(session, number)) }
    }
}

fn cells(issued: &IssuedAssertion) -> [Markup; 4] {
    [
        html! { (issued.revision) },
        time(issued.time),
        digest(&issued.device_key, None),
        digest(&issued.sign_key, None),
    ]
}

fn release_form(session: &Session, number: &SerialNumber) -> Markup {
    let hidden = [
        ("brand", number.brand.as_str()),
        ("model", &number.model),
        ("serial", &number.serial),
    ];
    html! {
        section.sheet {
            h2 { "Release" }
            p { "Another device can get the serial then. The device keeps the assertion that it has." }
            (form::change(session, ADDRESS, &hidden, "Reason for the release", "Release the serial"))
        }
    }
}
