//! The overview: counts, registrations per day, and the most frequent refusals.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};

use super::cells::count;
use super::chart::chart;
use super::error::PageError;
use super::filter::Filter;
use super::list::{empty, respond};
use super::refusals;
use super::session::Session;
use super::state::Page;
use crate::store::{Counts, RegistrationFilter};

const TITLE: &str = "Overview";
/// Days in the chart.
const DAYS: u32 = 30;
/// The most codes of refusals.
const CODES: usize = 5;

pub(super) async fn show(session: Session, State(page): State<Arc<Page>>) -> Response {
    respond(&session, TITLE, content(&page).await)
}

async fn content(page: &Page) -> Result<Markup, PageError> {
    let store = &page.service.store;
    let counts = page.service.counts().await?;
    let now = Timestamp::now().as_second();
    let days = store.registrations_per_day(now, DAYS).await?;
    let mut groups = store.refusals_by_code(RegistrationFilter::default()).await?;
    groups.truncate(CODES);
    Ok(html! {
        (figures(&counts))
        @if counts.identities == 0 && counts.logged == 0 {
            (first_steps())
        } @else {
            h2 { "Registrations per day" }
            (chart(&days))
            @if !groups.is_empty() {
                h2 { "Most frequent refusals" }
                (refusals::by_code(&groups, &Filter::default()))
                p { a href="/refusals" { "All refusals" } }
            }
        }
    })
}

fn figures(counts: &Counts) -> Markup {
    html! {
        dl.figures {
            @for (name, number, address) in [
                ("Identities", counts.identities, "/identities"),
                ("Serials", counts.serials, "/serials?state=held"),
                ("Blocked identities", counts.blocked, "/identities?state=blocked"),
                ("Registrations in the log", counts.logged, "/registrations"),
                ("Refused", counts.refused, "/registrations?outcome=refused"),
                ("Open nonces", counts.open_nonces, "/nonces?state=open"),
            ] {
                div { dt { (name) } dd { a href=(address) { (count(number)) } } }
            }
        }
    }
}

fn first_steps() -> Markup {
    let advice = html! {
        a href="/import" { "Import the identities" } " of devices. Then set the address of this service in their gadget, and let them register"
    };
    empty(
        "The service is ready",
        &advice,
        Some("device-service.url = http://HOST:PORT/v1/"),
    )
}
