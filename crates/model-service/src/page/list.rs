//! The frame of a list: position, links to other pages, errors, and what to do if it is empty.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::cells::{count, counted};
use super::error::PageError;
use super::filter::Filter;
use super::frame;
use super::session::Session;
use super::table::table;
use crate::store::{Listing, Total, WithdrawalError};

/// Rows on a page.
pub(super) const ROWS: u32 = 50;

/// A list on a page.
pub(super) struct List<'a, const N: usize> {
    pub(super) address: &'static str,
    /// What an entry is, in the singular and in the plural.
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

/// The status of the response with an error. Logs those of the database.
pub(super) fn status(error: &PageError) -> StatusCode {
    match error {
        PageError::Store(error) | PageError::Withdrawal(WithdrawalError::Store(error)) => {
            tracing::error!("{error}");
            StatusCode::SERVICE_UNAVAILABLE
        }
        PageError::Csv(error) => {
            tracing::error!("{error}");
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
