//! The nonces, newest first.

use maud::{Markup, html};

use super::cells::time;
use super::error::PageError;
use super::filter::Filter;
use super::form;
use super::list::{PageList, empty};
use super::state::Page;
use crate::http::NonceItem;
use crate::store::{Listing, NonceEntry, NonceFilter, NonceStatus, PageRequest, Store, StoreError};

const STATES: [(&str, &str); 4] = [
    ("", "All"),
    ("open", "Open"),
    ("used", "Used"),
    ("expired", "Expired"),
];

pub(super) struct Nonces;

impl PageList<4> for Nonces {
    const TITLE: &'static str = "Nonces";
    const ADDRESS: &'static str = "/nonces";
    const NOUN: [&'static str; 2] = ["nonce", "nonces"];
    const COLUMNS: [&'static str; 4] = ["Nonce", "State", "Issued", "Expires"];
    type Row = NonceEntry;
    type Item = NonceItem;
    type Wanted = NonceFilter;

    fn wanted(filter: &Filter) -> Result<NonceFilter, PageError> {
        let status = match filter.state(&STATES)? {
            "open" => Some(NonceStatus::Open),
            "used" => Some(NonceStatus::Used),
            "expired" => Some(NonceStatus::Expired),
            _ => None,
        };
        Ok(NonceFilter { status })
    }

    async fn read(
        store: &Store,
        wanted: NonceFilter,
        part: PageRequest,
    ) -> Result<Listing<NonceEntry>, StoreError> {
        store.list_nonces(wanted, part).await
    }

    fn fields(filter: &Filter) -> Markup {
        form::choice("state", "State", &filter.state, &STATES)
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

    fn nothing(page: &Page) -> Markup {
        let valid = page.service.nonce_seconds;
        let advice = html! {
            "A device requests a nonce before its serial, and uses it within " (valid) " seconds. Request one to try"
        };
        let command = "curl -X POST http://HOST:PORT/v1/request-id";
        empty("No nonces are kept", &advice, Some(command))
    }
}
