//! `/v1/statistics` and `/v1/refusal-codes`: what is stored, and what happens each day.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::csv::CsvRow;
use super::list::{Time, range};
use super::{Reader, time};
use crate::http::RequestError;
use crate::http::query::Parameters;
use crate::http::status::{Refusal, json};
use crate::service::Service;
use crate::store::{Counts, DayCounts, RefusalCount, RegistrationFilter};

/// The most days.
const MAX_DAYS: u32 = 366;
const DEFAULT_DAYS: u32 = 30;

/// Which days are counted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StatisticsQuery {
    /// The number of days up to today
    #[param(minimum = 1, maximum = 366, default = 30)]
    days: Option<u32>,
}

/// What is stored, and the registrations of each day.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct Statistics {
    /// Imported identities
    identities: u64,
    /// Blocked keys
    blocked: u64,
    /// Serials that devices have
    serials: u64,
    /// Assertions that were issued
    assertions: u64,
    open_nonces: u64,
    imports: u64,
    /// Registrations in the log
    logged_registrations: u64,
    /// Those of them that were refused
    logged_refusals: u64,
    /// Oldest first
    days: Vec<Day>,
}

/// The registrations of a day (UTC).
#[derive(Serialize, ToSchema)]
struct Day {
    #[schema(format = DateTime)]
    begins: Option<String>,
    issued: u64,
    /// In the log
    repeated: u64,
    /// In the log
    refused: u64,
}

impl From<DayCounts> for Day {
    fn from(counts: DayCounts) -> Self {
        Self {
            begins: time(counts.day),
            issued: counts.issued,
            repeated: counts.repeated,
            refused: counts.refused,
        }
    }
}

impl Statistics {
    fn new(counts: Counts, days: Vec<DayCounts>) -> Self {
        Self {
            identities: counts.identities,
            blocked: counts.blocked,
            serials: counts.serials,
            assertions: counts.assertions,
            open_nonces: counts.open_nonces,
            imports: counts.imports,
            logged_registrations: counts.logged,
            logged_refusals: counts.refused,
            days: days.into_iter().map(Day::from).collect(),
        }
    }
}

/// Counts what is stored, and the registrations of each day
#[utoipa::path(get, path = "/statistics", operation_id = "show-statistics", tag = "statistics",
    params(StatisticsQuery), responses((status = OK, body = Statistics)))]
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    _: Reader,
    Parameters(query): Parameters<StatisticsQuery>,
) -> Result<Response, Refusal> {
    let days = query.days.unwrap_or(DEFAULT_DAYS);
    if days == 0 || days > MAX_DAYS {
        return Err(Refusal(RequestError::Address {
            reason: format!("days is not between 1 and {MAX_DAYS}"),
        }));
    }
    let now = Timestamp::now().as_second();
    let days = service.store.registrations_per_day(now, days).await?;
    let counts = service.counts().await?;
    Ok(json(StatusCode::OK, &Statistics::new(counts, days)))
}

/// Which refusals are counted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[into_params(parameter_in = Query)]
pub(super) struct RefusalQuery {
    brand_id: Option<String>,
    model: Option<String>,
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Time>,
    /// Before this time
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Time>,
    /// The number of the import that brought the identity
    lot: Option<i64>,
}

/// Refusals in the log with the same code.
#[derive(Serialize, ToSchema)]
pub(crate) struct RefusalCode {
    code: String,
    count: u64,
    /// The time of the first one
    #[schema(format = DateTime)]
    first: Option<String>,
    /// The time of the last one
    #[schema(format = DateTime)]
    last: Option<String>,
    /// Cause and advice of the last one
    message: String,
}

impl CsvRow for RefusalCode {
    const HEADER: &'static [&'static str] = &["code", "count", "first", "last", "message"];
}

/// Refusals in the log by code, most frequent first.
#[derive(Serialize, ToSchema)]
struct RefusalCodes {
    items: Vec<RefusalCode>,
}

impl From<RefusalCount> for RefusalCode {
    fn from(counted: RefusalCount) -> Self {
        Self {
            code: counted.code,
            count: counted.count,
            first: time(counted.first),
            last: time(counted.last),
            message: counted.message,
        }
    }
}

/// Counts refused registrations in the log by their code
#[utoipa::path(get, path = "/refusal-codes", operation_id = "count-refusals", tag = "statistics",
    params(RefusalQuery), responses((status = OK, body = RefusalCodes)))]
pub(super) async fn refusal_codes(
    State(service): State<Arc<Service>>,
    _: Reader,
    Parameters(query): Parameters<RefusalQuery>,
) -> Result<Response, Refusal> {
    let filter = RegistrationFilter {
        brand: query.brand_id,
        model: query.model,
        time: range(query.since, query.until),
        lot: query.lot,
        ..RegistrationFilter::default()
    };
    let counted = service.store.refusals_by_code(filter).await?;
    let items = counted.into_iter().map(RefusalCode::from).collect();
    Ok(json(StatusCode::OK, &RefusalCodes { items }))
}
