//! One identity: what is known of it, and taking back its serials.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::cells::{encoded, foreign, foreign_up_to, outcome, time};
use super::frame;
use super::session::Session;
use super::state::Page;
use super::table::table;
use crate::store::{
    Authorship, IdentityState, ImportedIdentity, SerialNumber, Store, StoreError, WithdrawalError,
};

const TITLE: &str = "Identity";
/// Who changes something here, for the ledger. All people have one password.
const BY: &str = "page";
/// The most bytes of HTML for a value, longer than in a list.
const MAX_VALUE: usize = 2000;
/// The most assertions and the most serials that are shown.
const SHOWN: usize = 10;

#[derive(Deserialize)]
pub(super) struct Wanted {
    digest: String,
}

/// A form of the page.
#[derive(Deserialize)]
pub(super) struct Change {
    csrf: String,
    digest: String,
    action: Action,
    reason: String,
    #[serde(default)]
    brand: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    serial: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Block,
    Unblock,
    Release,
}

pub(super) async fn show(
    State(page): State<Arc<Page>>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    let session = match page.authorized(&headers) {
        Ok(session) => session,
        Err(response) => return response,
    };
    let digest = wanted.digest.clone();
    match with_store(&page, move |store| store.find_identity(&digest)).await {
        Ok(state) => frame::page(&session, TITLE, &content(&session, &wanted.digest, &state)).into_response(),
        Err(error) => failed(&session, &error),
    }
}

pub(super) async fn change(
    State(page): State<Arc<Page>>,
    headers: HeaderMap,
    Form(form): Form<Change>,
) -> Response {
    let session = match page.authorized(&headers) {
        Ok(session) if session.accepts(&form.csrf) => session,
        Ok(_) => return frame::stale(),
        Err(response) => return response,
    };
    let back = address(&form.digest);
    match with_store(&page, move |store| apply(store, form)).await {
        Ok(()) => Redirect::to(&back).into_response(),
        Err(error) => failed(&session, &error),
    }
}

fn apply(store: &Store, form: Change) -> Result<(), WithdrawalError> {
    let authorship = Authorship::new(BY.to_owned(), &form.reason)?;
    match form.action {
        Action::Block => store
            .block_identity(&form.digest, Timestamp::now().as_second(), authorship)
            .map(drop),
        Action::Unblock => store.unblock_identity(&form.digest, authorship).map(drop),
        Action::Release => {
            let number = SerialNumber {
                brand: form.brand,
                model: form.model,
                serial: form.serial,
            };
            store.release_serial(&number, authorship)
        }
    }
}

/// Runs `work` in a thread that may block.
async fn with_store<T: Send + 'static>(
    page: &Page,
    work: impl FnOnce(&Store) -> Result<T, WithdrawalError> + Send + 'static,
) -> Result<T, WithdrawalError> {
    let store = page.service.store.clone();
    let done = spawn_blocking(move || work(&store)).await;
    done.unwrap_or(Err(StoreError::Interrupted.into()))
}

fn failed(session: &Session, error: &WithdrawalError) -> Response {
    let status = match error {
        WithdrawalError::UnknownIdentity { .. } | WithdrawalError::UnknownSerial { .. } => {
            StatusCode::NOT_FOUND
        }
        WithdrawalError::Reason => StatusCode::BAD_REQUEST,
        WithdrawalError::Store(error) => {
            tracing::error!("{error}");
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    frame::failed(session, TITLE, status, error)
}

/// The address of the page of an identity.
pub(super) fn address(digest: &str) -> String {
    format!("/identity?digest={}", encoded(digest))
}

fn content(session: &Session, digest: &str, state: &IdentityState) -> Markup {
    let name = if state.blocked.is_some() {
        "blocked"
    } else {
        "not blocked"
    };
    let reason = state.blocked.as_ref().map(|(_, reason)| reason.as_str());
    let action = if state.blocked.is_some() {
        "unblock"
    } else {
        "block"
    };
    html! {
        p { (outcome(state.blocked.is_none(), name, reason)) }
        @if let Some((since, _)) = state.blocked { p { "Since " (time(since)) } }
        (table(&html!{"Assertions"}, ["Hardware id", "Hardware", "Issuer", "Key digest"], state.identities.iter().take(SHOWN).map(cells)))
        (form(session, digest, action, None))
        @for number in state.serials.iter().take(SHOWN) {
            h2 { "Serial " (foreign(&number.serial)) " of " (foreign(&number.brand)) "/" (foreign(&number.model)) }
            (form(session, digest, "release", Some(number)))
        }
        @if state.identities.len().max(state.serials.len()) > SHOWN {
            p.hint { "The first " (SHOWN) " are shown. `model-service identity show` prints all." }
        }
        @if state.serials.is_empty() { p { "The device has no serial." } }
    }
}

fn cells(identity: &ImportedIdentity) -> [Markup; 4] {
    let value = |text: &str| foreign_up_to(text, MAX_VALUE);
    [
        html! { strong { (value(&identity.hardware_id)) } },
        html! { (value(&identity.manufacturer)) ", " (value(&identity.hardware_name)) },
        value(&identity.issuer),
        html! {
            code { (identity.digest) }
            @if identity.revision > 0 { p { "Revision " (identity.revision) } }
        },
    ]
}

/// The form for an action, with the reason.
fn form(session: &Session, digest: &str, action: &str, number: Option<&SerialNumber>) -> Markup {
    let (label, button) = match action {
        "block" => ("Why the device shall get no more serials", "Block"),
        "unblock" => ("Why the device shall get serials again", "Unblock"),
        _ => ("Why another device shall be able to get the serial", "Release"),
    };
    let field = format!(
        "reason-{action}-{}",
        number.map_or("", |number| number.model.as_str())
    );
    html! {
        form.sheet method="post" action="/identity" {
            (frame::csrf(session))
            input type="hidden" name="digest" value=(digest);
            input type="hidden" name="action" value=(action);
            @if let Some(number) = number {
                input type="hidden" name="brand" value=(number.brand);
                input type="hidden" name="model" value=(number.model);
                input type="hidden" name="serial" value=(number.serial);
            }
            label for=(field) { (label) }
            div.fields {
                input id=(field) name="reason" required maxlength="1000";
                button { (button) }
            }
        }
    }
}
