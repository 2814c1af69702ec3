//! One identity: what is known of it, its history, and blocking it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use pages::table;
use serde::Deserialize;

use super::cells::{digest, foreign, foreign_up_to, outcome, shortened, time};
use super::error::PageError;
use super::fields::Fields;
use super::filter::query;
use super::history::{self, SHOWN, changes};
use super::imports::lot_link;
use super::list::PageList as _;
use super::registrations::Registrations;
use super::session::Session;
use super::state::Page;
use super::{form, frame, identities, list, registrations, serial};
use crate::store::{
    Authorship, IdentityHistory, IdentityState, ImportedIdentity, Listing, LoggedRegistration, PageRequest,
    RegistrationFilter, Store, StoreError, StoredAssertion, WithdrawalError,
};

const TITLE: &str = "Identity";
const ADDRESS: &str = "/identity";
/// Who changes something here, for the ledger. All people have one password.
pub(super) const BY: &str = "page";
/// The most bytes of HTML for a value, longer than in a list.
const MAX_VALUE: usize = 2000;
/// The most bytes of HTML for an assertion.
const MAX_ASSERTION: usize = 6000;

#[derive(Deserialize)]
pub(super) struct Wanted {
    digest: String,
}

/// The form that blocks or unblocks an identity.
#[derive(Deserialize)]
pub(super) struct Change {
    csrf: String,
    digest: String,
    action: Action,
    reason: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Block,
    Unblock,
}

/// What the page shows.
struct Known {
    state: IdentityState,
    history: IdentityHistory,
}

pub(super) async fn show(
    session: Session,
    State(page): State<Arc<Page>>,
    Fields(wanted): Fields<Wanted>,
) -> Response {
    let digest = wanted.digest.as_str();
    let requests = match registrations_of(&page, digest).await {
        Ok(requests) => requests,
        Err(error) => return list::failed(&session, TITLE, &error.into()),
    };
    match find(&page, digest).await {
        Ok(known) => {
            let content = content(&session, digest, &known, &requests);
            frame::detail(&session, identities::TITLE, TITLE, &content).into_response()
        }
        // A device with an API key, or one that was refused, can have requests all the same.
        Err(error) => {
            let content = html! { (frame::problem(&error)) (requests_table(digest, &requests)) };
            let page = frame::detail(&session, identities::TITLE, TITLE, &content);
            (list::status(&error), page).into_response()
        }
    }
}

async fn find(page: &Page, digest: &str) -> Result<Known, PageError> {
    let wanted = digest.to_owned();
    let state = page
        .service
        .with_store(move |store| store.find_identity(&wanted))
        .await?;
    let history = page.service.store.identity_history(&state.key_digest).await?;
    Ok(Known { state, history })
}

async fn registrations_of(page: &Page, digest: &str) -> Result<Listing<LoggedRegistration>, StoreError> {
    let filter = RegistrationFilter {
        device: Some(digest.to_owned()),
        ..RegistrationFilter::default()
    };
    let first = PageRequest {
        after: None,
        limit: SHOWN as u32,
        counted: true,
    };
    page.service.store.list_registrations(filter, first).await
}

pub(super) async fn change(
    session: Session,
    State(page): State<Arc<Page>>,
    Fields(form): Fields<Change>,
) -> Response {
    if !session.accepts(&form.csrf) {
        return frame::stale();
    }
    let back = address(&form.digest);
    match page.service.with_store(move |store| apply(store, &form)).await {
        Ok(()) => Redirect::to(&back).into_response(),
        Err(error) => list::failed(&session, TITLE, &error.into()),
    }
}

fn apply(store: &Store, form: &Change) -> Result<(), WithdrawalError> {
    let authorship = Authorship::new(BY.to_owned(), &form.reason)?;
    match form.action {
        Action::Block => store.block_identity(&form.digest, Timestamp::now().as_second(), authorship),
        Action::Unblock => store.unblock_identity(&form.digest, authorship),
    }
    .map(drop)
}

/// The address of the page of an identity.
pub(super) fn address(digest: &str) -> String {
    format!("{ADDRESS}{}", query([("digest", digest)]))
}

fn content(session: &Session, digest: &str, known: &Known, requests: &Listing<LoggedRegistration>) -> Markup {
    let Known { state, history } = known;
    html! {
        (facts(state))
        h2 { "Imported assertions" }
        (table(
            &history::caption(state.identities.len() as u64, ["assertion", "assertions"]),
            ["Hardware id", "Hardware", "Issuer", "Key digest", "Lot", "Imported"],
            state.identities.iter().take(SHOWN).map(|identity| cells(identity, history)),
        ))
        @for stored in history.assertions.iter().take(SHOWN) {
            (assertion(&html! { "The assertion by " (foreign(&stored.issuer)) }, &stored.assertion))
        }
        h2 { "Serials" }
        @if state.serials.is_empty() {
            p.hint { "The device has no serial." }
        } @else {
            (table(
                &history::caption(state.serials.len() as u64, ["serial", "serials"]),
                ["Serial", "Model"],
                state.serials.iter().take(SHOWN).map(|number| [
                    serial::link(number),
                    html! { (foreign_up_to(&number.brand, MAX_VALUE)) "/" (foreign_up_to(&number.model, MAX_VALUE)) },
                ]),
            ))
        }
        (requests_table(digest, requests))
        (changes(&history.changes))
        (change_form(session, digest, state.blocked.is_some()))
    }
}

fn facts(state: &IdentityState) -> Markup {
    html! {
        div.sheet {
            dl.facts {
                dt { "State" }
                dd {
                    @if let Some((since, reason)) = &state.blocked {
                        (outcome(false, "blocked", None)) " since " (time(*since)) ": " (foreign_up_to(reason, MAX_VALUE))
                    } @else {
                        (outcome(true, "not blocked", None))
                    }
                }
                dt { "Digest of the key" }
                dd { (digest(&state.key_digest, None)) }
            }
        }
    }
}

fn cells(identity: &ImportedIdentity, history: &IdentityHistory) -> [Markup; 6] {
    let value = |text: &str| foreign_up_to(text, MAX_VALUE);
    let stored = history
        .assertions
        .iter()
        .find(|stored| stored.issuer == identity.issuer && stored.digest == identity.digest);
    let of_stored = |show: fn(&StoredAssertion) -> Markup| stored.map(show).unwrap_or_default();
    [
        value(&identity.hardware_id),
        html! { (value(&identity.manufacturer)) ", " (value(&identity.hardware_name)) },
        value(&identity.issuer),
        html! {
            (digest(&identity.digest, None))
            @if identity.revision > 0 { p.reason { "Revision " (identity.revision) } }
        },
        of_stored(|stored| lot_link(stored.lot)),
        of_stored(|stored| time(stored.imported)),
    ]
}

/// An assertion, behind a button that works without scripts.
pub(super) fn assertion(name: &Markup, text: &str) -> Markup {
    html! {
        details.assertion {
            summary { (name) }
            pre { code { (shortened(text, MAX_ASSERTION)) } }
        }
    }
}

fn requests_table(digest: &str, requests: &Listing<LoggedRegistration>) -> Markup {
    let all = format!("{}{}", registrations::ADDRESS, query([("device", digest)]));
    html! {
        h2 { "Registrations" }
        @if requests.rows.is_empty() {
            p.hint { "No registration with this digest is in the log." }
        } @else {
            @let caption = history::caption(requests.total.count, ["registration", "registrations"]);
            (table(&caption, registrations::COLUMNS, requests.rows.iter().map(Registrations::cells)))
            @if requests.next.is_some() { p { a href=(all) { "All registrations of the device" } } }
        }
    }
}

fn change_form(session: &Session, digest: &str, blocked: bool) -> Markup {
    let (action, title, effect, button) = match blocked {
        false => (
            "block",
            "Block",
            "A blocked device gets no serials and no remodels. It keeps the assertion that it has.",
            "Block the identity",
        ),
        true => (
            "unblock",
            "Unblock",
            "The device can register again.",
            "Unblock the identity",
        ),
    };
    let hidden = [("digest", digest), ("action", action)];
    html! {
        section.sheet {
            h2 { (title) }
            p { (effect) }
            (form::change(session, ADDRESS, &hidden, "Reason, for the ledger", button))
        }
    }
}
