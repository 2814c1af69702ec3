//! Lists: filters, position, links to other pages, CSV, errors, and what to do if a list is empty.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use maud::{Markup, html};
use pages::table;

use super::cells::{count, counted};
use super::csv::NoFile;
use super::error::PageError;
use super::fields::Fields;
use super::filter::Filter;
use super::session::Session;
use super::state::Page;
use super::{csv, form, frame};
use crate::http::CsvRow;
use crate::store::{Listing, PageRequest, Store, StoreError, Total, WithdrawalError};

/// Rows on a page.
pub(super) const ROWS: u32 = 50;

/// A list with a page of its own, with `N` columns.
pub(super) trait PageList<const N: usize>: 'static {
    const TITLE: &'static str;
    const ADDRESS: &'static str;
    /// What an entry is, in the singular and in the plural.
    const NOUN: [&'static str; 2];
    const COLUMNS: [&'static str; N];
    type Row: Send + 'static;
    /// A row of the CSV file.
    type Item: From<Self::Row> + CsvRow;
    /// The filter of the store.
    type Wanted: Clone + Send + 'static;

    /// The entries that the filters select.
    fn wanted(filter: &Filter) -> Result<Self::Wanted, PageError>;

    fn read(
        store: &Store,
        wanted: Self::Wanted,
        part: PageRequest,
    ) -> impl Future<Output = Result<Listing<Self::Row>, StoreError>> + Send;

    /// The fields of the filters.
    fn fields(filter: &Filter) -> Markup;

    fn cells(row: &Self::Row) -> [Markup; N];

    /// What is shown if the list is empty without filters.
    fn nothing(page: &Page) -> Markup;
}

/// The addresses of a list: its page and its CSV file.
pub(super) fn routes<L: PageList<N>, const N: usize>() -> Router<Arc<Page>> {
    Router::new()
        .route(L::ADDRESS, get(show::<L, N>))
        .route(&format!("{}.csv", L::ADDRESS), get(download::<L, N>))
}

async fn show<L: PageList<N>, const N: usize>(
    session: Session,
    State(page): State<Arc<Page>>,
    Fields(filter): Fields<Filter>,
) -> Response {
    respond(&session, L::TITLE, content::<L, N>(&page, &filter).await)
}

async fn content<L: PageList<N>, const N: usize>(page: &Page, filter: &Filter) -> Result<Markup, PageError> {
    filter.check()?;
    let listing = L::read(&page.service.store, L::wanted(filter)?, filter.page()?).await?;
    let list = List {
        address: L::ADDRESS,
        noun: L::NOUN,
        columns: L::COLUMNS,
        filter,
    };
    Ok(html! {
        (form::filters(L::ADDRESS, filter, &L::fields(filter)))
        (list.show(&listing, L::cells, || L::nothing(page)))
    })
}

async fn download<L: PageList<N>, const N: usize>(
    _: Session,
    State(page): State<Arc<Page>>,
    Fields(filter): Fields<Filter>,
) -> Result<Response, NoFile> {
    filter.check()?;
    let (wanted, service) = (L::wanted(&filter)?, Arc::clone(&page.service));
    csv::download::<_, L::Item, _, _>(L::ADDRESS.trim_start_matches('/'), move |part| {
        let (wanted, service) = (wanted.clone(), Arc::clone(&service));
        async move { L::read(&service.store, wanted, part).await }
    })
    .await
}

/// The frame of a list.
pub(super) struct List<'a, const N: usize> {
    pub(super) address: &'static str,
    pub(super) noun: [&'static str; 2],
    pub(super) columns: [&'static str; N],
    pub(super) filter: &'a Filter,
}

impl<const N: usize> List<'_, N> {
    /// The rows with their position and links to the pages around. `nothing` is shown if the list
    /// is empty without filters.
    pub(super) fn show<T>(
        &self,
        listing: &Listing<T>,
        cells: impl Fn(&T) -> [Markup; N],
        nothing: impl FnOnce() -> Markup,
    ) -> Markup {
        if listing.rows.is_empty() {
            return match self.filter.is_empty() && listing.total.count == 0 {
                true => nothing(),
                false => self.no_match(),
            };
        }
        let position = position(listing, self.noun);
        html! {
            (table(&html! { (position) }, self.columns, listing.rows.iter().map(cells)))
            (self.links(listing))
        }
    }

    fn no_match(&self) -> Markup {
        let advice = html! {
            "Change the filters, or " a href=(self.address) { "show all" } "."
        };
        empty(&format!("No {} match", self.noun[1]), &advice, None)
    }

    fn links<T>(&self, listing: &Listing<T>) -> Markup {
        let link = |cursor| format!("{}{}", self.address, self.filter.query(cursor));
        html! {
            @if listing.before.count > 0 || listing.next.is_some() {
                nav.pager aria-label="Pages of the list" {
                    @if listing.before.count > 0 {
                        a rel="prev" href=(link(listing.previous)) { "← Previous" }
                    }
                    @if listing.next.is_some() {
                        a rel="next" href=(link(listing.next)) { "Next →" }
                    }
                }
            }
        }
    }
}

/// As `51–100 of 5,000 identities`.
fn position<T>(listing: &Listing<T>, noun: [&str; 2]) -> String {
    let first = listing.before.count + 1;
    let last = listing.before.count + listing.rows.len() as u64;
    let Total { count: total, exact } = listing.total;
    match (exact, listing.before.exact) {
        (true, _) => format!("{}–{} of {}", count(first), count(last), counted(total, noun)),
        (false, true) => {
            let total = counted(total, noun);
            format!("{}–{} of more than {total}", count(first), count(last))
        }
        (false, false) => format!("After the first {}", counted(listing.before.count, noun)),
    }
}

/// Says what to do about an empty list; `command` is an example.
pub(super) fn empty(what: &str, advice: &Markup, command: Option<&str>) -> Markup {
    html! {
        div.empty {
            p.what { (what) }
            p { (advice) }
            @if let Some(command) = command { pre { code { (command) } } }
        }
    }
}

/// The page with this content, or with the error.
pub(super) fn respond(session: &Session, title: &str, content: Result<Markup, PageError>) -> Response {
    match content {
        Ok(content) => frame::page(session, title, &content).into_response(),
        Err(error) => failed(session, title, &error),
    }
}

/// The response to a request that cannot be answered.
pub(super) fn failed(session: &Session, title: &str, error: &PageError) -> Response {
    frame::failed(session, title, status(error), error)
}

/// The status of the response with an error. Logs what the operator has to know.
pub(super) fn status(error: &PageError) -> StatusCode {
    match error {
        PageError::Store(_) | PageError::Withdrawal(WithdrawalError::Store(_)) | PageError::Csv(_) => {
            tracing::error!(code = failure::code(error), "{error}");
            StatusCode::SERVICE_UNAVAILABLE
        }
        PageError::Withdrawal(
            WithdrawalError::UnknownIdentity { .. } | WithdrawalError::UnknownSerial { .. },
        ) => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(rows: usize, before: u64, total: u64, exact: bool) -> String {
        let listing = Listing {
            rows: vec![(); rows],
            total: Total { count: total, exact },
            before: Total {
                count: before,
                exact: exact || before < total,
            },
            previous: None,
            next: None,
        };
        position(&listing, ["serial", "serials"])
    }

    #[test]
    fn positions() {
        assert_eq!(part(50, 50, 5000, true), "51–100 of 5,000 serials");
        assert_eq!(part(1, 0, 1, true), "1–1 of 1 serial");
        assert_eq!(part(50, 0, 100_000, false), "1–50 of more than 100,000 serials");
        assert_eq!(
            part(50, 100_000, 100_000, false),
            "After the first 100,000 serials"
        );
    }
}
