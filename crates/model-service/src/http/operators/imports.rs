//! `/v1/imports`: the imports that were stored.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::csv::CsvRow;
use super::list::{List, Page, Time, list_query, range};
use super::{Reader, time};
use crate::http::RequestError;
use crate::http::query::Segments;
use crate::http::status::{Refusal, json};
use crate::service::Service;
use crate::store::{Import, ImportFilter};

list_query! {
    /// Which imports are listed.
    ImportQuery {
        #[param(value_type = Option<String>, format = DateTime)]
        since: Option<Time>,
        /// Before this time
        #[param(value_type = Option<String>, format = DateTime)]
        until: Option<Time>,
    }
}

/// An import.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ImportItem {
    /// The lot of the identities that it brought
    number: i64,
    #[schema(format = DateTime)]
    time: Option<String>,
    /// Who imported, as in the ledger; empty if it is not known
    by: String,
    /// The name of the file; empty if it is not known
    name: String,
    /// Identities that were not stored before
    new: u64,
    replaced: u64,
    present: u64,
    older: u64,
}

impl From<Import> for ImportItem {
    fn from(import: Import) -> Self {
        Self {
            number: import.number,
            time: time(import.time),
            by: import.by,
            name: import.name,
            new: import.new,
            replaced: import.replaced,
            present: import.present,
            older: import.older,
        }
    }
}

impl CsvRow for ImportItem {
    const HEADER: &'static [&'static str] = &[
        "number", "time", "by", "name", "new", "replaced", "present", "older",
    ];
}

/// Lists imports
#[utoipa::path(get, path = "/imports", operation_id = "list-imports", tag = "imports",
    params(ImportQuery), responses((status = OK, body = inline(Page<ImportItem>))))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    List { query, view }: List<ImportQuery>,
) -> Result<Response, Refusal> {
    let filter = ImportFilter {
        number: None,
        time: range(query.since, query.until),
    };
    let listing = service.store.list_imports(filter, view.page).await?;
    Ok(view.response::<_, ImportItem>(listing)?)
}

/// Shows an import
#[utoipa::path(get, path = "/imports/{number}", operation_id = "show-import", tag = "imports",
    params(("number" = i64, Path)),
    responses((status = OK, body = ImportItem),
              (status = NOT_FOUND, description = "`number-unknown`", body = crate::http::status::Problem)))]
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    _: Reader,
    Segments(number): Segments<i64>,
) -> Result<Response, Refusal> {
    let found = service.store.find_import(number).await?;
    let found = found.ok_or(RequestError::UnknownNumber {
        what: "import",
        number,
    })?;
    Ok(json(StatusCode::OK, &ImportItem::from(found)))
}
