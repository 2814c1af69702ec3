//! The serials for which an assertion was issued, by the last assertion.

use maud::{Markup, html};

use super::cells::{foreign, time};
use super::error::PageError;
use super::filter::{Filter, some};
use super::list::PageList;
use super::registrations::Registrations;
use super::state::Page;
use super::{form, serial};
use crate::http::SerialItem;
use crate::store::{Listing, PageRequest, SerialEntry, SerialFilter, Store, StoreError};

pub(super) const TITLE: &str = "Serials";
const STATES: [(&str, &str); 3] = [("", "All"), ("held", "With a device"), ("released", "Released")];

pub(super) struct Serials;

impl PageList<5> for Serials {
    const TITLE: &'static str = TITLE;
    const ADDRESS: &'static str = "/serials";
    const NOUN: [&'static str; 2] = ["serial", "serials"];
    const COLUMNS: [&'static str; 5] = ["Serial", "Model", "Device", "Revision", "Issued"];
    type Row = SerialEntry;
    type Item = SerialItem;
    type Wanted = SerialFilter;

    fn wanted(filter: &Filter) -> Result<SerialFilter, PageError> {
        let (brand, model) = filter.brand_and_model();
        Ok(SerialFilter {
            brand,
            model,
            serial: some(&filter.serial),
            device: None,
            held: match filter.state(&STATES)? {
                "held" => Some(true),
                "released" => Some(false),
                _ => None,
            },
            issued: filter.time()?,
        })
    }

    async fn read(
        store: &Store,
        wanted: SerialFilter,
        part: PageRequest,
    ) -> Result<Listing<SerialEntry>, StoreError> {
        store.list_serials(wanted, part).await
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

    fn nothing(page: &Page) -> Markup {
        Registrations::nothing(page)
    }
}
