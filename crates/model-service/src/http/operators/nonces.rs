//! `/v1/nonces`: the nonces that are kept.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::csv::CsvRow;
use super::list::{List, Page, list_query};
use super::time;
use crate::http::status::Refusal;
use crate::service::Service;
use crate::store::{NonceEntry, NonceFilter, NonceStatus};

/// Whether a nonce can be used.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Open,
    Used,
    Expired,
}

list_query! {
    /// Which nonces are listed.
    NonceQuery {
        #[param(inline)]
        status: Option<Status>,
    }
}

/// A nonce in a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct NonceItem {
    id: i64,
    /// The first characters, too few to use it
    beginning: String,
    #[schema(format = DateTime)]
    issued: Option<String>,
    #[schema(format = DateTime)]
    expires: Option<String>,
    #[schema(inline)]
    status: Status,
}

impl From<NonceEntry> for NonceItem {
    fn from(entry: NonceEntry) -> Self {
        Self {
            id: entry.id,
            beginning: entry.beginning,
            issued: time(entry.issued),
            expires: time(entry.expires),
            status: match entry.status {
                NonceStatus::Open => Status::Open,
                NonceStatus::Used => Status::Used,
                NonceStatus::Expired => Status::Expired,
            },
        }
    }
}

impl CsvRow for NonceItem {
    const HEADER: &'static [&'static str] = &["id", "beginning", "issued", "expires", "status"];
}

/// Lists nonces that are kept
#[utoipa::path(get, path = "/nonces", operation_id = "list-nonces", tag = "nonces",
    params(NonceQuery), responses((status = OK, body = inline(Page<NonceItem>))))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    List { query, view }: List<NonceQuery>,
) -> Result<Response, Refusal> {
    let status = query.status.map(|status| match status {
        Status::Open => NonceStatus::Open,
        Status::Used => NonceStatus::Used,
        Status::Expired => NonceStatus::Expired,
    });
    let listing = service
        .store
        .list_nonces(NonceFilter { status }, view.page)
        .await?;
    Ok(view.response::<_, NonceItem>(listing)?)
}
