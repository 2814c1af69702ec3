//! The imported identities, newest first.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::cells::{digest, foreign, outcome, time};
use super::csv::NoFile;
use super::error::PageError;
use super::fields::Fields;
use super::filter::{Filter, some};
use super::identity::address;
use super::imports::lot_link;
use super::list::{List, empty, respond};
use super::session::Session;
use super::state::Page;
use super::{csv, form};
use crate::http::IdentityItem;
use crate::store::{IdentityEntry, IdentityFilter};

pub(super) const TITLE: &str = "Identities";
pub(super) const ADDRESS: &str = "/identities";
const STATES: [(&str, &str); 4] = [
    ("", "All"),
    ("registered", "Registered"),
    ("unregistered", "Not registered"),
    ("blocked", "Blocked"),
];

pub(super) async fn show(
    session: Session,
    State(page): State<Arc<Page>>,
    Fields(filter): Fields<Filter>,
) -> Response {
    respond(&session, TITLE, content(&page, &filter).await)
}

pub(super) async fn download(
    _: Session,
    State(page): State<Arc<Page>>,
    Fields(filter): Fields<Filter>,
) -> Result<Response, NoFile> {
    let (wanted, service) = (wanted(&filter)?, Arc::clone(&page.service));
    csv::download::<_, IdentityItem, _, _>("identities", move |part| {
        let (wanted, service) = (wanted.clone(), Arc::clone(&service));
        async move { service.store.list_identities(wanted, part).await }
    })
    .await
}

async fn content(page: &Page, filter: &Filter) -> Result<Markup, PageError> {
    let store = &page.service.store;
    let listing = store.list_identities(wanted(filter)?, filter.page()?).await?;
    let list = List {
        address: ADDRESS,
        noun: ["identity", "identities"],
        columns: [
            "Hardware id",
            "Hardware",
            "Issuer",
            "Key digest",
            "State",
            "Lot",
            "Imported",
        ],
        filter,
    };
    Ok(html! {
        (form::filters(ADDRESS, filter, &fields(filter)))
        (list.show(&listing, cells, nothing))
    })
}

/// The identities that the filters select.
fn wanted(filter: &Filter) -> Result<IdentityFilter, PageError> {
    filter.check()?;
    let state = |name: &str| (filter.state == name).then_some(true);
    Ok(IdentityFilter {
        text: some(&filter.q),
        hardware_name: some(&filter.hardware),
        issuer: some(&filter.issuer),
        blocked: state("blocked"),
        registered: state("registered").or(state("unregistered").map(|_| false)),
        lot: filter.lot()?,
        imported: filter.time()?,
    })
}

fn fields(filter: &Filter) -> Markup {
    html! {
        (form::search("Id, name, manufacturer, issuer or digest", &filter.q))
        (form::text("hardware", "Hardware name", &filter.hardware))
        (form::text("issuer", "Issuer", &filter.issuer))
        (form::choice("state", "State", &filter.state, &STATES))
        (form::text("lot", "Lot", &filter.lot))
        (form::days(filter))
    }
}

fn nothing() -> Markup {
    let advice = html! {
        "Import the assertions that " code { "hardware-identity sign" } " wrote: "
        a href="/import" { "upload the file" } ", or run"
    };
    let command = "model-service import --config FILE signed.assert";
    empty("No identities are imported yet", &advice, Some(command))
}

fn cells(row: &IdentityEntry) -> [Markup; 7] {
    [
        foreign(&row.hardware_id),
        html! { (foreign(&row.manufacturer)) ", " (foreign(&row.hardware_name)) },
        foreign(&row.issuer),
        html! {
            (digest(&row.digest, Some(&address(&row.digest))))
            @if row.revision > 0 { p.reason { "Revision " (row.revision) } }
        },
        state(row),
        lot_link(row.lot),
        time(row.imported),
    ]
}

fn state(row: &IdentityEntry) -> Markup {
    match (row.blocked, row.registered) {
        (true, _) => outcome(false, "blocked", None),
        (false, true) => outcome(true, "registered", None),
        (false, false) => html! { span.short { "not registered" } },
    }
}
