//! `/v1/registrations` and `/v1/refusals`: the log of registrations.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::csv::CsvRow;
use super::list::{List, Page, Time, list_query, range};
use super::{Reader, time};
use crate::http::RequestError;
use crate::http::query::Segments;
use crate::http::status::{Refusal, json};
use crate::service::Service;
use crate::store::{LoggedRegistration, OutcomeClass, RegistrationFilter};

/// A class of outcomes.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Class {
    Issued,
    Repeated,
    Refused,
}

list_query! {
    /// Which registrations are listed.
    RegistrationQuery {
        #[param(inline)]
        class: Option<Class>,
        /// `issued`, `repeated` or the code of a refusal
        outcome: Option<String>,
        brand_id: Option<String>,
        model: Option<String>,
        serial: Option<String>,
        /// The key digest that the request named, or the id of the device key
        device: Option<String>,
        #[param(value_type = Option<String>, format = DateTime)]
        since: Option<Time>,
        /// Before this time
        #[param(value_type = Option<String>, format = DateTime)]
        until: Option<Time>,
        /// The number of the import that brought the identity
        lot: Option<i64>,
    }
}

impl RegistrationQuery {
    pub(super) fn filter(self) -> RegistrationFilter {
        RegistrationFilter {
            id: None,
            class: self.class.map(|class| match class {
                Class::Issued => OutcomeClass::Issued,
                Class::Repeated => OutcomeClass::Repeated,
                Class::Refused => OutcomeClass::Refused,
            }),
            outcome: self.outcome,
            brand: self.brand_id,
            model: self.model,
            serial: self.serial,
            device: self.device,
            time: range(self.since, self.until),
            lot: self.lot,
        }
    }
}

/// A registration in the log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct RegistrationItem {
    id: i64,
    #[schema(format = DateTime)]
    time: Option<String>,
    /// The address of the client
    address: String,
    brand_id: String,
    model: String,
    serial: String,
    /// The key digest that the request named, or the id of the device key
    device: String,
    /// `issued`, `repeated` or the code of a refusal
    outcome: String,
    /// Cause and advice of a refusal, otherwise empty
    reason: String,
}

impl From<LoggedRegistration> for RegistrationItem {
    fn from(LoggedRegistration { id, entry }: LoggedRegistration) -> Self {
        Self {
            id,
            time: time(entry.time),
            address: entry.address,
            brand_id: entry.brand,
            model: entry.model,
            serial: entry.serial,
            device: entry.device,
            outcome: entry.outcome,
            reason: entry.reason,
        }
    }
}

impl CsvRow for RegistrationItem {
    const HEADER: &'static [&'static str] = &[
        "id", "time", "address", "brand-id", "model", "serial", "device", "outcome", "reason",
    ];
}

/// Lists registrations in the log, refused ones too
#[utoipa::path(get, path = "/registrations", operation_id = "list-registrations", tag = "registrations",
    params(RegistrationQuery), responses((status = OK, body = inline(Page<RegistrationItem>))))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    List { query, view }: List<RegistrationQuery>,
) -> Result<Response, Refusal> {
    let listing = service
        .store
        .list_registrations(query.filter(), view.page)
        .await?;
    Ok(view.response::<_, RegistrationItem>(listing)?)
}

/// Lists refused registrations in the log
#[utoipa::path(get, path = "/refusals", operation_id = "list-refusals", tag = "registrations",
    params(RegistrationQuery), responses((status = OK, body = inline(Page<RegistrationItem>))))]
pub(super) async fn list_refusals(
    State(service): State<Arc<Service>>,
    List { query, view }: List<RegistrationQuery>,
) -> Result<Response, Refusal> {
    if matches!(query.class, Some(Class::Issued | Class::Repeated)) {
        return Err(Refusal(RequestError::Address {
            reason: "refusals have the class refused".to_owned(),
        }));
    }
    let filter = RegistrationFilter {
        class: Some(OutcomeClass::Refused),
        ..query.filter()
    };
    let listing = service.store.list_registrations(filter, view.page).await?;
    Ok(view.response::<_, RegistrationItem>(listing)?)
}

/// Shows a registration in the log
#[utoipa::path(get, path = "/registrations/{id}", operation_id = "show-registration", tag = "registrations",
    params(("id" = i64, Path)),
    responses((status = OK, body = RegistrationItem),
              (status = NOT_FOUND, description = "`number-unknown`", body = crate::http::status::Problem)))]
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    _: Reader,
    Segments(id): Segments<i64>,
) -> Result<Response, Refusal> {
    let found = service.store.find_registration(id).await?;
    let found = found.ok_or(RequestError::UnknownNumber {
        what: "registration in the log",
        number: id,
    })?;
    Ok(json(StatusCode::OK, &RegistrationItem::from(found)))
}
