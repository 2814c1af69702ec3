//! The log of registrations, newest first.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::cells::{digest, foreign, outcome, time};
use super::csv::NoFile;
use super::error::PageError;
use super::fields::Fields;
use super::filter::{Filter, some};
use super::list::{List, empty, respond};
use super::session::Session;
use super::state::Page;
use super::{csv, form, identity, serial};
use crate::http::RegistrationItem;
use crate::store::{LogEntry, LoggedRegistration, OutcomeClass, RegistrationFilter, SerialNumber};

const TITLE: &str = "Registrations";
pub(super) const ADDRESS: &str = "/registrations";
pub(super) const COLUMNS: [&str; 6] = ["Time", "Model", "Serial", "Outcome", "Device", "From"];
const REFUSED: &str = "refused";
const OUTCOMES: [(&str, &str); 4] = [
    ("", "All"),
    ("issued", "Issued"),
    ("repeated", "Repeated"),
    (REFUSED, "Refused"),
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
    csv::download::<_, RegistrationItem, _, _>("registrations", move |part| {
        let (wanted, service) = (wanted.clone(), Arc::clone(&service));
        async move { service.store.list_registrations(wanted, part).await }
    })
    .await
}

async fn content(page: &Page, filter: &Filter) -> Result<Markup, PageError> {
    let store = &page.service.store;
    let listing = store.list_registrations(wanted(filter)?, filter.page()?).await?;
    let list = List {
        address: ADDRESS,
        noun: ["registration", "registrations"],
        columns: COLUMNS,
        filter,
    };
    Ok(html! {
        (form::filters(ADDRESS, filter, &fields(filter)))
        (list.show(&listing, cells, nothing))
    })
}

/// The registrations that the filters select.
pub(super) fn wanted(filter: &Filter) -> Result<RegistrationFilter, PageError> {
    filter.check()?;
    let (brand, model) = filter.brand_and_model();
    let refused = filter.outcome == REFUSED;
    Ok(RegistrationFilter {
        id: None,
        class: refused.then_some(OutcomeClass::Refused),
        outcome: some(&filter.outcome).filter(|_| !refused),
        brand,
        model,
        serial: some(&filter.serial),
        device: some(&filter.device),
        time: filter.time()?,
        lot: filter.lot()?,
    })
}

fn fields(filter: &Filter) -> Markup {
    html! {
        (form::choice("outcome", "Outcome", &filter.outcome, &OUTCOMES))
        (form::text("model", "Model", &filter.model))
        (form::text("serial", "Serial", &filter.serial))
        (form::text("device", "Device", &filter.device))
        (form::text("lot", "Lot", &filter.lot))
        (form::days(filter))
    }
}

/// What to do if no device has registered.
pub(super) fn nothing() -> Markup {
    let advice = html! { "Set the address of this service in the gadget of a device, and let it register" };
    let setting = "device-service.url = http://HOST:PORT/v1/";
    empty("No device has requested a serial yet", &advice, Some(setting))
}

pub(super) fn cells(row: &LoggedRegistration) -> [Markup; 6] {
    let row = &row.entry;
    let reason = Some(row.reason.as_str()).filter(|reason| !reason.is_empty());
    [
        time(row.time),
        html! { (foreign(&row.brand)) "/" (foreign(&row.model)) },
        serial_link(row),
        outcome(is_good(row), &row.outcome, reason),
        digest(&row.device, Some(&identity::address(&row.device))),
        html! { (row.address) },
    ]
}

fn is_good(row: &LogEntry) -> bool {
    ["issued", "repeated"].contains(&row.outcome.as_str())
}

/// The serial, with a link if the device got it.
fn serial_link(row: &LogEntry) -> Markup {
    let number = SerialNumber {
        brand: row.brand.clone(),
        model: row.model.clone(),
        serial: row.serial.clone(),
    };
    match is_good(row) {
        true => serial::link(&number),
        false => foreign(&row.serial),
    }
}
