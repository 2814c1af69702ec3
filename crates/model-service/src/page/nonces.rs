//! The nonces, newest first.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::cells::time;
use super::csv::NoFile;
use super::error::PageError;
use super::fields::Fields;
use super::filter::Filter;
use super::list::{List, empty, respond};
use super::session::Session;
use super::state::Page;
use super::{csv, form};
use crate::http::NonceItem;
use crate::store::{NonceEntry, NonceFilter, NonceStatus};

const TITLE: &str = "Nonces";
const ADDRESS: &str = "/nonces";
const STATES: [(&str, &str); 4] = [
    ("", "All"),
    ("open", "Open"),
    ("used", "Used"),
    ("expired", "Expired"),
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
    csv::download::<_, NonceItem, _, _>("nonces", move |part| {
        let service = Arc::clone(&service);
        async move { service.store.list_nonces(wanted, part).await }
    })
    .await
}

async fn content(page: &Page, filter: &Filter) -> Result<Markup, PageError> {
    let store = &page.service.store;
    let listing = store.list_nonces(wanted(filter)?, filter.page()?).await?;
    let list = List {
        address: ADDRESS,
        noun: ["nonce", "nonces"],
        columns: ["Nonce", "State", "Issued", "Expires"],
        filter,
    };
    let fields = form::choice("state", "State", &filter.state, &STATES);
    Ok(html! {
        (form::filters(ADDRESS, filter, &fields))
        (list.show(&listing, cells, || nothing(page.service.nonce_seconds)))
    })
}

fn wanted(filter: &Filter) -> Result<NonceFilter, PageError> {
    filter.check()?;
    let status = match filter.state.as_str() {
        "open" => Some(NonceStatus::Open),
        "used" => Some(NonceStatus::Used),
        "expired" => Some(NonceStatus::Expired),
        _ => None,
    };
    Ok(NonceFilter { status })
}

fn nothing(valid: i64) -> Markup {
    let advice = html! {
        "A device requests a nonce before its serial, and uses it within " (valid) " seconds. Request one to try"
    };
    let command = "curl -X POST http://HOST:PORT/v1/request-id";
    empty("No nonces are kept", &advice, Some(command))
}

fn cells(row: &NonceEntry) -> [Markup; 4] {
    let state = match row.status {
        NonceStatus::Open => "open",
        NonceStatus::Used => "used",
        NonceStatus::Expired => "expired",
    };
    [
        html! { code { (row.beginning) "…" } },
        html! { (state) },
        time(row.issued),
        time(row.expires),
    ]
}
