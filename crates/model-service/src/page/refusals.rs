//! The refused registrations in the log, grouped by their code.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use pages::table;

use super::cells::{count, counted, foreign_up_to, sentence, time};
use super::csv::NoFile;
use super::error::PageError;
use super::fields::Fields;
use super::filter::{Filter, query};
use super::list::{PageList as _, empty, respond};
use super::registrations::{self, Registrations};
use super::session::Session;
use super::state::Page;
use super::{csv, form};
use crate::http::{RefusalCode, write_csv};
use crate::store::RefusalCount;

const TITLE: &str = "Refusals";
const ADDRESS: &str = "/refusals";
/// The most bytes of HTML for a message.
const MAX_MESSAGE: usize = 1500;

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
    let groups = groups(&page, &filter).await?;
    let groups: Vec<_> = groups.into_iter().map(RefusalCode::from).collect();
    Ok(csv::file("refusals", write_csv(&groups, true)?.into()))
}

async fn groups(page: &Page, filter: &Filter) -> Result<Vec<RefusalCount>, PageError> {
    filter.check()?;
    let wanted = Registrations::wanted(filter)?;
    Ok(page.service.store.refusals_by_code(wanted).await?)
}

async fn content(page: &Page, filter: &Filter) -> Result<Markup, PageError> {
    let groups = groups(page, filter).await?;
    let fields = html! {
        (form::text("model", "Model", &filter.model))
        (form::text("lot", "Lot", &filter.lot))
        (form::days(filter))
    };
    Ok(html! {
        (form::filters(ADDRESS, filter, &fields))
        @if !groups.is_empty() {
            (by_code(&groups, filter))
        } @else if filter.is_empty() {
            (empty("No registration was refused", &html! { "Refusals that are in the log are grouped here by their code." }, None))
        } @else {
            (empty("No refusals match", &html! { "Change the filters, or " a href=(ADDRESS) { "show all" } "." }, None))
        }
    })
}

/// The groups, each with a link to its registrations.
pub(super) fn by_code(groups: &[RefusalCount], filter: &Filter) -> Markup {
    let total = groups.iter().map(|group| group.count).sum();
    let caption = html! {
        (counted(total, ["refusal", "refusals"])) " with " (counted(groups.len() as u64, ["code", "codes"]))
    };
    let columns = ["Code", "Count", "First", "Last", "Last message"];
    table(&caption, columns, groups.iter().map(|group| cells(group, filter)))
}

fn cells(group: &RefusalCount, filter: &Filter) -> [Markup; 5] {
    let same = [
        ("outcome", group.code.as_str()),
        ("model", &filter.model),
        ("lot", &filter.lot),
        ("from", &filter.from),
        ("to", &filter.to),
    ];
    let address = format!("{}{}", registrations::ADDRESS, query(same));
    [
        html! { a.short href=(address) { (group.code) } },
        html! { (count(group.count)) },
        time(group.first),
        time(group.last),
        html! { div.full { (foreign_up_to(&sentence(&group.message, &group.code), MAX_MESSAGE)) } },
    ]
}
