//! The log of registrations, newest first.

use maud::{Markup, html};

use super::cells::{digest, foreign, outcome, time};
use super::error::PageError;
use super::filter::{Filter, some};
use super::list::{PageList, empty};
use super::state::Page;
use super::{form, identity, serial};
use crate::http::RegistrationItem;
use crate::store::{
    Listing, LogEntry, LoggedRegistration, OutcomeClass, PageRequest, RegistrationFilter, SerialNumber,
    Store, StoreError,
};

pub(super) const ADDRESS: &str = "/registrations";
pub(super) const COLUMNS: [&str; 6] = ["Time", "Model", "Serial", "Outcome", "Device", "From"];
const REFUSED: &str = "refused";
const OUTCOMES: [(&str, &str); 4] = [
    ("", "All"),
    ("issued", "Issued"),
    ("repeated", "Repeated"),
    (REFUSED, "Refused"),
];

pub(super) struct Registrations;

impl PageList<6> for Registrations {
    const TITLE: &'static str = "Registrations";
    const ADDRESS: &'static str = ADDRESS;
    const NOUN: [&'static str; 2] = ["registration", "registrations"];
    const COLUMNS: [&'static str; 6] = COLUMNS;
    type Row = LoggedRegistration;
    type Item = RegistrationItem;
    type Wanted = RegistrationFilter;

    fn wanted(filter: &Filter) -> Result<RegistrationFilter, PageError> {
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

    async fn read(
        store: &Store,
        wanted: RegistrationFilter,
        part: PageRequest,
    ) -> Result<Listing<LoggedRegistration>, StoreError> {
        store.list_registrations(wanted, part).await
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

    fn cells(row: &LoggedRegistration) -> [Markup; 6] {
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

    fn nothing(_: &Page) -> Markup {
        let advice =
            html! { "Set the address of this service in the gadget of a device, and let it register" };
        let setting = "device-service.url = http://HOST:PORT/v1/";
        empty("No device has requested a serial yet", &advice, Some(setting))
    }
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
