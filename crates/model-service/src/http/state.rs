//! The addresses that tell the state of the service: `/health`, `/ready` and `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use super::error::RequestError;
use super::status::Refusal;
use crate::service::Service;

/// The media type of the text format of OpenMetrics, which Prometheus reads.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The process runs
#[utoipa::path(get, path = "/health", operation_id = "health", tag = "state",
    responses((status = OK, body = String, content_type = "text/plain")))]
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// The service can write, which `/health` does not say
#[utoipa::path(get, path = "/ready", operation_id = "ready", tag = "state",
    responses((status = OK, body = String, content_type = "text/plain")))]
pub(super) async fn ready(State(service): State<Arc<Service>>) -> Result<&'static str, Refusal> {
    service.store.check_writable().await?;
    Ok("ready\n")
}

/// Metrics for Prometheus, in the text format of OpenMetrics
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "state",
    responses((status = OK, body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> Result<Response, Refusal> {
    let ready = service.store.check_writable().await.is_ok();
    // A scrape of a store that cannot be read tells that, and what the process counts.
    let counts = service.counts().await.ok();
    service
        .metrics
        .set_stored(ready, service.running_imports(), counts);
    let encoded = service
        .metrics
        .encode()
        .map_err(|error| RequestError::Interrupted {
            reason: error.to_string(),
        })?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], encoded).into_response())
}
