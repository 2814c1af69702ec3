//! `/v1/models`: the models in the settings.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::Reader;
use crate::http::status::{Refusal, json};
use crate::models::{Authentication, KnownModel, SerialRule};
use crate::service::Service;

/// A model in the settings.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct ModelItem {
    brand_id: String,
    model: String,
    /// `hardware-identity` or `api-key`
    provisioning: String,
    /// Accounts whose hardware identities are accepted
    issuers: Vec<String>,
    hardware_names: Vec<String>,
    /// `hardware-id` or `proposed`
    serial: String,
    serial_pattern: Option<String>,
    /// The account that signs serials
    authority: String,
}

/// The models in the settings.
#[derive(Serialize, ToSchema)]
struct ModelList {
    items: Vec<ModelItem>,
}

impl From<&KnownModel> for ModelItem {
    fn from(model: &KnownModel) -> Self {
        let (issuers, hardware_names) = match &model.authentication {
            Authentication::HardwareIdentity {
                issuers,
                hardware_names,
            } => (issuers.clone(), hardware_names.clone()),
            Authentication::ApiKey(_) => Default::default(),
        };
        let (serial, pattern) = match &model.serial_rule {
            SerialRule::HardwareId => ("hardware-id", None),
            SerialRule::Proposed { pattern } => ("proposed", pattern.as_ref()),
        };
        Self {
            brand_id: model.brand.clone(),
            model: model.name.clone(),
            provisioning: model.provisioning().name().to_owned(),
            issuers,
            hardware_names,
            serial: serial.to_owned(),
            serial_pattern: pattern.map(ToString::to_string),
            authority: model.authority.clone(),
        }
    }
}

/// Lists the models in the settings, without their keys
#[utoipa::path(get, path = "/models", operation_id = "list-models", tag = "models",
    responses((status = OK, body = ModelList)))]
pub(super) async fn list(State(service): State<Arc<Service>>, _: Reader) -> Result<Response, Refusal> {
    let items = service.registrar.models.iter().map(ModelItem::from).collect();
    Ok(json(StatusCode::OK, &ModelList { items }))
}
