//! The imports. The number of one is the lot of its identities.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::cells::{count, foreign, time};
use super::csv::NoFile;
use super::error::PageError;
use super::filter::{Filter, query};
use super::list::{List, empty};
use super::session::Session;
use super::state::Page;
use super::{csv, identities};
use crate::http::ImportItem;
use crate::store::{Import, ImportFilter};

pub(super) const ADDRESS: &str = "/import";

/// The list of imports.
pub(super) async fn list(page: &Page, filter: &Filter) -> Result<Markup, PageError> {
    let store = &page.service.store;
    let listing = store
        .list_imports(ImportFilter::default(), filter.page()?)
        .await?;
    let list = List {
        address: ADDRESS,
        noun: ["import", "imports"],
        columns: ["Lot", "Time", "File", "By", "New", "Replaced", "Present", "Older"],
        filter: &Filter::default(),
    };
    Ok(html! {
        h2 { "Imports" }
        (list.show(&listing, cells, nothing))
        @if !listing.rows.is_empty() { p { a href="/imports.csv" { "Download as CSV" } } }
    })
}

pub(super) async fn download(_: Session, State(page): State<Arc<Page>>) -> Result<Response, NoFile> {
    let (wanted, service) = (ImportFilter::default(), Arc::clone(&page.service));
    csv::download::<_, ImportItem, _, _>("imports", move |part| {
        let (wanted, service) = (wanted.clone(), Arc::clone(&service));
        async move { service.store.list_imports(wanted, part).await }
    })
    .await
}

/// The number of an import, with a link to its identities.
pub(super) fn lot_link(number: i64) -> Markup {
    let lot = number.to_string();
    let address = format!("{}{}", identities::ADDRESS, query([("lot", lot.as_str())]));
    html! { a href=(address) { (lot) } }
}

fn nothing() -> Markup {
    let advice = html! { "Upload a file above, or import on the machine of the service" };
    let command = "model-service import --config FILE signed.assert";
    empty("Nothing was imported yet", &advice, Some(command))
}

fn cells(row: &Import) -> [Markup; 8] {
    let known = |text: &str| match text.is_empty() {
        true => html! { "–" },
        false => foreign(text),
    };
    let [new, replaced, present, older] =
        [row.new, row.replaced, row.present, row.older].map(|number| html! { (count(number)) });
    [
        lot_link(row.number),
        time(row.time),
        known(&row.name),
        known(&row.by),
        new,
        replaced,
        present,
        older,
    ]
}
