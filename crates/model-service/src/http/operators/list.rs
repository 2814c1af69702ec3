//! Lists with filters, as JSON or CSV, page by page.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use jiff::Timestamp;
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::Reader;
use super::csv::{self, CsvRow};
use crate::http::RequestError;
use crate::http::query::Parameters;
use crate::http::status::{Refusal, json};
use crate::service::Service;
use crate::store::{Cursor, Listing, PageRequest, TimeRange, Total};

/// Rows of a page without `limit`, and the most.
const DEFAULT_ROWS: u32 = 100;
const MAX_ROWS: u32 = 1000;

/// The form of a list.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Format {
    Json,
    Csv,
}

/// A time in a query, RFC 3339.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time(i64);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: Timestamp = text.parse().map_err(de::Error::custom)?;
        Ok(Self(time.as_second()))
    }
}

/// The range from `since` on and before `until`.
pub(super) fn range(since: Option<Time>, until: Option<Time>) -> TimeRange {
    TimeRange {
        since: since.map(|Time(seconds)| seconds),
        until: until.map(|Time(seconds)| seconds),
    }
}

/// Defines the query of a list: its filters, then those of all lists.
macro_rules! list_query {
    ($(#[$documentation:meta])* $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$documentation])*
        #[derive(serde::Deserialize, utoipa::IntoParams)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        #[into_params(parameter_in = Query)]
        pub(super) struct $name {
            $($(#[$meta])* $field: $type,)*
            /// `next` of the page before
            cursor: Option<String>,
            /// The most rows
            #[param(minimum = 1, maximum = 1000, default = 100)]
            limit: Option<u32>,
            /// The form of the list; else the header `Accept` says it
            #[param(inline)]
            format: Option<$crate::http::operators::list::Format>,
        }

        impl $crate::http::operators::list::Paged for $name {
            fn view(
                &self,
                parts: &axum::http::request::Parts,
            ) -> Result<$crate::http::operators::list::View, $crate::http::RequestError> {
                $crate::http::operators::list::View::new(self.cursor.as_deref(), self.limit, self.format, parts)
            }
        }
    };
}
pub(super) use list_query;

/// The query of a list.
pub(super) trait Paged: DeserializeOwned + Send {
    /// The page that is wanted, and its form.
    fn view(&self, parts: &Parts) -> Result<View, RequestError>;
}

/// A request for a list with a token that permits reading.
pub(super) struct List<Q> {
    pub(super) query: Q,
    pub(super) view: View,
}

impl<Q: Paged> FromRequestParts<Arc<Service>> for List<Q> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Refusal> {
        Reader::from_request_parts(parts, service).await?;
        let Parameters(query) = Parameters::<Q>::from_request_parts(parts, service).await?;
        let view = query.view(parts)?;
        Ok(Self { query, view })
    }
}

/// The page that is wanted, and its form.
pub(super) struct View {
    pub(super) page: PageRequest,
    csv: bool,
    uri: Uri,
}

impl View {
    pub(super) fn new(
        cursor: Option<&str>,
        limit: Option<u32>,
        format: Option<Format>,
        parts: &Parts,
    ) -> Result<Self, RequestError> {
        let limit = limit.unwrap_or(DEFAULT_ROWS);
        if limit == 0 || limit > MAX_ROWS {
            return Err(RequestError::Address {
                reason: format!("limit is not between 1 and {MAX_ROWS}"),
            });
        }
        let after = cursor.map(Cursor::parse).transpose()?;
        let accept = parts
            .headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok());
        Ok(Self {
            page: PageRequest {
                after,
                limit,
                counted: true,
            },
            csv: match format {
                Some(format) => format == Format::Csv,
                None => accept.is_some_and(|accept| accept.contains("text/csv")),
            },
            uri: parts.uri.clone(),
        })
    }

    /// The response with a page of a list.
    pub(super) fn response<R, T: From<R> + CsvRow>(
        &self,
        listing: Listing<R>,
    ) -> Result<Response, RequestError> {
        let page: Page<T> = listing.into();
        let mut response = match self.csv {
            true => csv::response(&page.items)?,
            false => json(StatusCode::OK, &page),
        };
        if let Some(next) = &page.next
            && let Ok(link) = HeaderValue::try_from(format!("<{}>; rel=\"next\"", self.address_of(next)))
        {
            response.headers_mut().insert(header::LINK, link);
        }
        Ok(response)
    }

    /// The address of this list with another cursor, relative to this one. A cursor needs no encoding.
    fn address_of(&self, cursor: &str) -> String {
        let query = self.uri.query().unwrap_or_default();
        let kept = query
            .split('&')
            .filter(|part| !part.is_empty() && !part.starts_with("cursor="));
        let parts: Vec<_> = kept
            .map(str::to_owned)
            .chain([format!("cursor={cursor}")])
            .collect();
        format!("?{}", parts.join("&"))
    }
}

/// A page of a list, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Page<T> {
    items: Vec<T>,
    /// How many match in all
    total: u64,
    /// False if more than `total` match: not all rows of a large list are counted
    total_is_exact: bool,
    /// How many of them are before this page
    before: u64,
    /// False if more than `before` are before this page
    before_is_exact: bool,
    /// The cursor of the next page; null on the last one
    next: Option<String>,
}

impl<R, T: From<R>> From<Listing<R>> for Page<T> {
    fn from(listing: Listing<R>) -> Self {
        let Total { count, exact } = listing.total;
        Self {
            items: listing.rows.into_iter().map(T::from).collect(),
            total: count,
            total_is_exact: exact,
            before: listing.before.count,
            before_is_exact: listing.before.exact,
            next: listing.next.map(|cursor| cursor.to_string()),
        }
    }
}
