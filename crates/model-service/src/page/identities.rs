//! The imported identities, newest first.

use maud::{Markup, html};

use super::cells::{digest, foreign, outcome, time};
use super::error::PageError;
use super::filter::{Filter, some};
use super::form;
use super::identity::address;
use super::imports::lot_link;
use super::list::{PageList, empty};
use super::state::Page;
use crate::http::IdentityItem;
use crate::store::{IdentityEntry, IdentityFilter, Listing, PageRequest, Store, StoreError};

pub(super) const TITLE: &str = "Identities";
pub(super) const ADDRESS: &str = "/identities";
const STATES: [(&str, &str); 4] = [
    ("", "All"),
    ("registered", "Registered"),
    ("unregistered", "Not registered"),
    ("blocked", "Blocked"),
];

pub(super) struct Identities;

impl PageList<7> for Identities {
    const TITLE: &'static str = TITLE;
    const ADDRESS: &'static str = ADDRESS;
    const NOUN: [&'static str; 2] = ["identity", "identities"];
    const COLUMNS: [&'static str; 7] = [
        "Hardware id",
        "Hardware",
        "Issuer",
        "Key digest",
        "State",
        "Lot",
        "Imported",
    ];
    type Row = IdentityEntry;
    type Item = IdentityItem;
    type Wanted = IdentityFilter;

    fn wanted(filter: &Filter) -> Result<IdentityFilter, PageError> {
        let state = filter.state(&STATES)?;
        Ok(IdentityFilter {
            text: some(&filter.q),
            hardware_name: some(&filter.hardware),
            issuer: some(&filter.issuer),
            blocked: (state == "blocked").then_some(true),
            registered: match state {
                "registered" => Some(true),
                "unregistered" => Some(false),
                _ => None,
            },
            lot: filter.lot()?,
            imported: filter.time()?,
        })
    }

    async fn read(
        store: &Store,
        wanted: IdentityFilter,
        part: PageRequest,
    ) -> Result<Listing<IdentityEntry>, StoreError> {
        store.list_identities(wanted, part).await
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

    fn nothing(_: &Page) -> Markup {
        let advice = html! {
            "Import the assertions that " code { "hardware-identity sign" } " wrote: "
            a href="/import" { "upload the file" } ", or run"
        };
        let command = "model-service import --config FILE signed.assert";
        empty("No identities are imported yet", &advice, Some(command))
    }
}

fn state(row: &IdentityEntry) -> Markup {
    match (row.blocked, row.registered) {
        (true, _) => outcome(false, "blocked", None),
        (false, true) => outcome(true, "registered", None),
        (false, false) => html! { span.short { "not registered" } },
    }
}
