//! The serials for which an assertion was issued, by the last assertion.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::cells::{foreign, time};
use super::csv::NoFile;
use super::error::PageError;
use super::fields::Fields;
use super::filter::{Filter, some};
use super::list::{List, respond};
use super::session::Session;
use super::state::Page;
use super::{csv, form, registrations, serial};
use crate::http::SerialItem;
use crate::store::{SerialEntry, SerialFilter};

pub(super) const TITLE: &str = "Serials";
pub(super) const ADDRESS: &str = "/serials";
const STATES: [(&str, &str); 3] = [("", "All"), ("held", "With a device"), ("released", "Released")];

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
    csv::download::<_, SerialItem, _, _>("serials", move |part| {
        let (wanted, service) = (wanted.clone(), Arc::clone(&service));
        async move { service.store.list_serials(wanted, part).await }
    })
    .await
}

async fn content(page: &Page, filter: &Filter) -> Result<Markup, PageError> {
    let store = &page.service.store;
    let listing = store.list_serials(wanted(filter)?, filter.page()?).await?;
    let list = List {
        address: ADDRESS,
        noun: ["serial", "serials"],
        columns: ["Serial", "Model", "Device", "Revision", "Issued"],
        filter,
    };
    Ok(html! {
        (form::filters(ADDRESS, filter, &fields(filter)))
        (list.show(&listing, cells, registrations::nothing))
    })
}

/// The serials that the filters select.
fn wanted(filter: &Filter) -> Result<SerialFilter, PageError> {
    filter.check()?;
    let (brand, model) = filter.brand_and_model();
    Ok(SerialFilter {
        brand,
        model,
        serial: some(&filter.serial),
        device: None,
        held: match filter.state.as_str() {
            "held" => Some(true),
            "released" => Some(false),
            _ => None,
        },
        issued: filter.time()?,
    })
}

fn fields(filter: &Filter) -> Markup {
    html! {
        (form::text("serial", "Serial", &filter.serial))
        (form::text("model", "Model", &filter.model))
        (form::choice("state", "State", &filter.state, &STATES))
        (form::days(filter))
    }
}

fn cells(row: &SerialEntry) -> [Markup; 5] {
    [
        serial::link(&row.number),
        html! { (foreign(&row.number.brand)) "/" (foreign(&row.number.model)) },
        serial::holder(row.device.as_deref()),
        html! { (row.revision) },
        time(row.issued),
    ]
}
