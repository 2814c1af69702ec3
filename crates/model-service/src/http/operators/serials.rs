//! `/v1/serials`: serials and the assertions that were issued for them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::changes::Change;
use super::csv::CsvRow;
use super::list::{List, Page, Time, list_query, range};
use super::{Reader, time};
use crate::http::RequestError;
use crate::http::query::Segments;
use crate::http::status::{Refusal, json};
use crate::service::Service;
use crate::store::{IssuedAssertion, SerialEntry, SerialFilter, SerialHistory, SerialNumber};

list_query! {
    /// Which serials are listed.
    SerialQuery {
        brand_id: Option<String>,
        model: Option<String>,
        serial: Option<String>,
        /// The name of the device that has it
        device: Option<String>,
        /// That a device has it; released ones are not held
        held: Option<bool>,
        /// The last assertion was issued at this time or later
        #[param(value_type = Option<String>, format = DateTime)]
        since: Option<Time>,
        /// The last assertion was issued before this time
        #[param(value_type = Option<String>, format = DateTime)]
        until: Option<Time>,
    }
}

/// Brand, model and serial.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Number {
    brand_id: String,
    model: String,
    serial: String,
}

impl From<SerialNumber> for Number {
    fn from(number: SerialNumber) -> Self {
        Self {
            brand_id: number.brand,
            model: number.model,
            serial: number.serial,
        }
    }
}

/// A serial in a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct SerialItem {
    brand_id: String,
    model: String,
    serial: String,
    /// The name of the device that has it; null if it was released
    device: Option<String>,
    /// The revision of the last assertion
    revision: u64,
    /// The time of the last assertion
    #[schema(format = DateTime)]
    issued: Option<String>,
    /// The id of the device key of the last assertion
    device_key: String,
}

impl From<SerialEntry> for SerialItem {
    fn from(entry: SerialEntry) -> Self {
        Self {
            brand_id: entry.number.brand,
            model: entry.number.model,
            serial: entry.number.serial,
            device: entry.device,
            revision: entry.revision,
            issued: time(entry.issued),
            device_key: entry.device_key,
        }
    }
}

impl CsvRow for SerialItem {
    const HEADER: &'static [&'static str] = &[
        "brand-id",
        "model",
        "serial",
        "device",
        "revision",
        "issued",
        "device-key",
    ];
}

/// Lists serials, ordered by their last assertion
#[utoipa::path(get, path = "/serials", operation_id = "list-serials", tag = "serials",
    params(SerialQuery), responses((status = OK, body = inline(Page<SerialItem>))))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    List { query, view }: List<SerialQuery>,
) -> Result<Response, Refusal> {
    let filter = SerialFilter {
        brand: query.brand_id,
        model: query.model,
        serial: query.serial,
        device: query.device,
        held: query.held,
        issued: range(query.since, query.until),
    };
    let listing = service.store.list_serials(filter, view.page).await?;
    Ok(view.response::<_, SerialItem>(listing)?)
}

/// A serial: who has it and what was issued for it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct SerialDetail {
    brand_id: String,
    model: String,
    serial: String,
    /// The name of the device that has it; null if it was released
    device: Option<String>,
    /// Newest first
    assertions: Vec<SerialAssertion>,
    /// Releases, newest first
    changes: Vec<Change>,
}

/// An assertion that was issued for a serial.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct SerialAssertion {
    revision: u64,
    #[schema(format = DateTime)]
    time: Option<String>,
    /// The id of the device key
    device_key: String,
    /// The id of the key that signed it
    sign_key: String,
    /// The signed assertion
    assertion: String,
}

impl From<IssuedAssertion> for SerialAssertion {
    fn from(issued: IssuedAssertion) -> Self {
        Self {
            revision: issued.revision,
            time: time(issued.time),
            device_key: issued.device_key,
            sign_key: issued.sign_key,
            assertion: issued.assertion,
        }
    }
}

impl SerialDetail {
    fn new(number: SerialNumber, history: SerialHistory) -> Self {
        Self {
            brand_id: number.brand,
            model: number.model,
            serial: number.serial,
            device: history.device,
            assertions: history
                .assertions
                .into_iter()
                .map(SerialAssertion::from)
                .collect(),
            changes: history.changes.into_iter().map(Change::from).collect(),
        }
    }
}

/// Shows a serial with its history
#[utoipa::path(get, path = "/serials/{brand-id}/{model}/{serial}", operation_id = "show-serial", tag = "serials",
    params(("brand-id" = String, Path), ("model" = String, Path), ("serial" = String, Path)),
    responses((status = OK, body = SerialDetail),
              (status = NOT_FOUND, description = "`serial-not-issued`", body = crate::http::status::Problem)))]
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    _: Reader,
    Segments((brand, model, serial)): Segments<(String, String, String)>,
) -> Result<Response, Refusal> {
    let number = SerialNumber { brand, model, serial };
    match service.store.serial_history(&number).await? {
        Some(history) => Ok(json(StatusCode::OK, &SerialDetail::new(number, history))),
        None => Err(Refusal(RequestError::UnknownSerial {
            model: format!("{}/{}", number.brand, number.model),
            serial: number.serial,
        })),
    }
}
