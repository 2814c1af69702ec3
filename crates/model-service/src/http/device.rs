//! The addresses for devices: a nonce, then a serial.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::body::{ASSERTION, check_content_type, read_limited};
use super::error::RequestError;
use super::peer::Peer;
use super::status::refused;
use crate::registration::{Registration, RegistrationRequest};
use crate::secret::random_token;
use crate::service::Service;

/// `POST /v1/request-id`
pub(super) async fn request_id(State(service): State<Arc<Service>>) -> Response {
    match new_nonce(&service).await {
        Ok(nonce) => {
            let body = json!({ "request-id": nonce }).to_string();
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(error) => refused(&error),
    }
}

async fn new_nonce(service: &Service) -> Result<String, RequestError> {
    let nonce = random_token()?;
    let limit = service.limits.open_nonces.into();
    service
        .store
        .issue_nonce(&nonce, service.nonce_seconds, limit)
        .await?;
    Ok(nonce)
}

/// `POST /v1/serial`
pub(super) async fn serial(
    State(service): State<Arc<Service>>,
    Extension(Peer(address)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let registered = match read(&service, &headers, body).await {
        Ok(body) => register(service, address.to_string(), &headers, body).await,
        Err(error) => Err(error),
    };
    match registered {
        Ok(Registration { assertion, new }) => {
            let status = if new { StatusCode::CREATED } else { StatusCode::OK };
            (status, [(header::CONTENT_TYPE, ASSERTION)], assertion).into_response()
        }
        Err(error) => refused(&error),
    }
}

async fn read(service: &Service, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, RequestError> {
    check_content_type(headers)?;
    let time = Duration::from_secs(service.limits.request_seconds.into());
    read_limited(headers, body, service.limits.serial_body_bytes, time).await
}

async fn register(
    service: Arc<Service>,
    address: String,
    headers: &HeaderMap,
    body: Vec<u8>,
) -> Result<Registration, RequestError> {
    let interrupted = |reason: String| RequestError::Interrupted { reason };
    let api_key = headers.get("api-key").map(|value| value.as_bytes().to_vec());
    // In the order of arrival: with all at once on few cores, some would wait for most of the
    // others.
    let permit = Arc::clone(&service.registration_permits).acquire_owned().await;
    let permit = permit.map_err(|error| interrupted(error.to_string()))?;
    let registration = spawn_blocking(move || {
        let _permit = permit;
        service.live().registrar.register(&RegistrationRequest {
            body: &body,
            api_key: api_key.as_deref(),
            address,
        })
    });
    match registration.await {
        Ok(result) => Ok(result?),
        Err(error) => Err(interrupted(error.to_string())),
    }
}
