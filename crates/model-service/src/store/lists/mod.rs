//! Lists for people and programs: filters, pages and totals.
//!
//! A list begins with what was stored last. A cursor is the id of the last row of a page; the next
//! page begins after it, whatever was stored meanwhile.

mod identities;
mod imports;
mod nonces;
mod registrations;
mod serials;
#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use failure::Diagnostic;
use thiserror::Error;

use super::columns::{Columns, FromColumns};
use super::conditions::{Conditions, Value};
use super::{Backend, Store, StoreError};
pub(crate) use identities::{IdentityEntry, IdentityFilter, IdentityHistory, StoredAssertion};
pub(crate) use imports::{Import, ImportFilter};
pub(crate) use nonces::{NonceEntry, NonceFilter, NonceStatus};
pub(crate) use registrations::{LoggedRegistration, OutcomeClass, RegistrationFilter};
pub(crate) use serials::{IssuedAssertion, SerialEntry, SerialFilter, SerialHistory};

/// The most rows that are counted for the total of a list.
const MAX_COUNTED: u64 = 100_000;

/// The place after a row of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor(i64);

/// A cursor that no list gave.
#[derive(Debug, Error, Diagnostic)]
#[error("the cursor is not one of a list")]
#[diagnostic(
    code("cursor-invalid"),
    help("Use `next` of the page before, or leave the cursor out for the first page")
)]
pub(crate) struct CursorError;

impl Cursor {
    pub(crate) fn parse(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let bytes = bytes.try_into().map_err(|_| CursorError)?;
        Ok(Self(i64::from_be_bytes(bytes)))
    }
}

/// URL-safe characters that [`Cursor::parse`] takes.
impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&URL_SAFE_NO_PAD.encode(self.0.to_be_bytes()))
    }
}

/// The rows of a list that are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageRequest {
    /// Where the page begins; the newest row without it.
    pub(crate) after: Option<Cursor>,
    /// The most rows.
    pub(crate) limit: u32,
    /// Whether the rows that match are counted, which takes longer than reading a page.
    pub(crate) counted: bool,
}

/// A number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) count: u64,
    /// False if there are more: not all rows of a large list are counted.
    pub(crate) exact: bool,
}

impl Total {
    /// That of rows that were not counted.
    const UNKNOWN: Self = Self {
        count: 0,
        exact: false,
    };

    fn counted(count: u64) -> Self {
        Self {
            count: count.min(MAX_COUNTED),
            exact: count <= MAX_COUNTED,
        }
    }
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Listing<T> {
    /// Newest first.
    pub(crate) rows: Vec<T>,
    /// All rows that match; unknown if they are not counted, as is all that follows but `next`.
    pub(crate) total: Total,
    /// The rows that match and are before this page.
    pub(crate) before: Total,
    /// Where the page before begins; `None` if that is the first page, or if this is.
    pub(crate) previous: Option<Cursor>,
    /// Where the next page begins; `None` if this is the last one.
    pub(crate) next: Option<Cursor>,
}

/// A row of a list.
pub(super) trait Row: FromColumns + Send + 'static {
    fn id(&self) -> i64;
}

/// The query of a list. Both backends run it.
pub(super) struct ListQuery {
    pub(super) columns: String,
    pub(super) from: &'static str,
    /// The column with the id, by which the list is ordered.
    pub(super) id: &'static str,
    pub(super) conditions: Conditions,
}

impl ListQuery {
    /// The rows of a page, and one more if there is another page.
    pub(super) fn rows(&self, page: PageRequest) -> (String, Vec<Value>) {
        let mut conditions = self.conditions.clone();
        if let Some(Cursor(id)) = page.after {
            conditions.with(&format!("{} < {{}}", self.id), id);
        }
        let limit = conditions.parameter(i64::from(page.limit) + 1);
        let sql = format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {} DESC LIMIT {limit}",
            self.columns,
            self.from,
            conditions.sql(),
            self.id,
        );
        (sql, conditions.values)
    }

    /// The id of the row after which the page before `after` begins; no row if that is the first
    /// page.
    pub(super) fn previous(&self, Cursor(id): Cursor, limit: u32) -> (String, Vec<Value>) {
        let mut conditions = self.conditions.clone();
        conditions.with(&format!("{} >= {{}}", self.id), id);
        let offset = conditions.parameter(i64::from(limit));
        let sql = format!(
            "SELECT {id} FROM {} WHERE {} ORDER BY {id} LIMIT 1 OFFSET {offset}",
            self.from,
            conditions.sql(),
            id = self.id,
        );
        (sql, conditions.values)
    }

    /// The number of all rows, or of those before a page; up to a limit.
    pub(super) fn count(&self, before: Option<Cursor>) -> (String, Vec<Value>) {
        let mut conditions = self.conditions.clone();
        if let Some(Cursor(id)) = before {
            conditions.with(&format!("{} >= {{}}", self.id), id);
        }
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} WHERE {} LIMIT {}) AS counted",
            self.from,
            conditions.sql(),
            MAX_COUNTED + 1,
        );
        (sql, conditions.values)
    }

    /// A page of the rows that [`rows`](Self::rows) gave, without counts.
    pub(super) fn uncounted<T: Row>(mut rows: Vec<T>, page: PageRequest) -> Listing<T> {
        let limit = page.limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        Listing {
            next: rows.last().filter(|_| more).map(|row| Cursor(row.id())),
            rows,
            total: Total::UNKNOWN,
            before: Total::UNKNOWN,
            previous: None,
        }
    }

    /// The page with counts that [`count`](Self::count) gave and the id that
    /// [`previous`](Self::previous) gave.
    pub(super) fn listing<T: Row>(
        rows: Vec<T>,
        page: PageRequest,
        total: u64,
        before: u64,
        previous: Option<i64>,
    ) -> Listing<T> {
        Listing {
            total: Total::counted(total),
            before: Total::counted(before),
            previous: previous.map(Cursor),
            ..Self::uncounted(rows, page)
        }
    }
}

impl Store {
    /// A page of a list that both backends query alike.
    async fn list<T: Row>(&self, query: ListQuery, page: PageRequest) -> Result<Listing<T>, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.list(query, page).await,
            Backend::Postgres(store) => store.list(query, page).await,
        }
    }
}

/// A pattern of LIKE that contains `text`, in lower case, with `\` as the escape character.
fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    // A pattern ends at a NUL in SQLite, and PostgreSQL takes none.
    for character in text.to_ascii_lowercase().replace('\0', "\u{FFFD}").chars() {
        if ['%', '_', '\\'].contains(&character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
