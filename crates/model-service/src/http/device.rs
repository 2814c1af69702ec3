//! The addresses for devices: a nonce, then a serial.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{ASSERTION, check_content_type, read_limited};
use super::error::RequestError;
use super::peer::Peer;
use super::status::{Problem, Refusal, json, refused};
use crate::registration::{Registration, RegistrationRequest};
use crate::secret::random_token;
use crate::service::Service;
use crate::spawn::spawn_in_span;
use crate::store::NonceKind;

/// A nonce for a request for a serial.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct RequestId {
    request_id: String,
}

/// The addresses of devices, relative to `/` and to `/v1`.
pub(super) fn routes() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(request_id))
        .routes(routes!(serial))
}

/// Issues a nonce, which is valid for a limited time and for one request for a serial
#[utoipa::path(post, path = "/request-id", operation_id = "request-id", tag = "devices",
    responses((status = OK, body = RequestId)))]
pub(super) async fn request_id(State(service): State<Arc<Service>>) -> Result<Response, Refusal> {
    let request_id = new_nonce(&service, NonceKind::Registration).await?;
    Ok(json(StatusCode::OK, &RequestId { request_id }))
}

/// Issues a nonce of a kind.
pub(super) async fn new_nonce(service: &Service, kind: NonceKind) -> Result<String, RequestError> {
    let nonce = random_token()?;
    let (seconds, limit) = (service.nonce_seconds, service.limits.open_nonces.into());
    let wait = service.waiting.begin()?;
    let issue = || service.store.issue_nonce(kind, &nonce, seconds, limit);
    wait.retry_async(issue).await?;
    Ok(nonce)
}

/// Registers a device: returns the signed serial
///
/// The body is a stream of assertions: one serial-request, one model and, on a remodel, the old serial.
#[utoipa::path(post, path = "/serial", operation_id = "serial", tag = "devices",
    request_body(content = String, content_type = "application/x.ubuntu.assertion"),
    security((), ("api-key" = [])),
    responses(
        (status = OK, description = "The device gets an earlier serial again", body = String,
         content_type = "application/x.ubuntu.assertion"),
        (status = CREATED, description = "The serial was signed for this request", body = String,
         content_type = "application/x.ubuntu.assertion"),
        (status = UNAUTHORIZED, description = "`api-key`: the header is missing or wrong", body = Problem),
        (status = FORBIDDEN, description = "The device may not have a serial", body = Problem),
        (status = CONFLICT, description = "`serial-taken`", body = Problem),
        (status = UNSUPPORTED_MEDIA_TYPE, description = "`content-type`", body = Problem),
    ))]
pub(super) async fn serial(
    State(service): State<Arc<Service>>,
    Extension(Peer(address)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let registered = match read(&service, &headers, body).await {
        Ok(body) => register(Arc::clone(&service), address.to_string(), &headers, body).await,
        Err(error) => Err(error),
    };
    service.metrics.count_registration(match &registered {
        Ok(Registration { new: true, .. }) => "issued".to_owned(),
        Ok(Registration { new: false, .. }) => "repeated".to_owned(),
        Err(error) => failure::code(error),
    });
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
    let wait = service.waiting.begin()?;
    // In the order of arrival: with all at once on few cores, some would wait for most of the
    // others.
    let permit = Arc::clone(&service.registration_permits).acquire_owned().await;
    let permit = permit.map_err(|error| interrupted(error.to_string()))?;
    let wait = wait.with_permit(&service.registration_permits, permit);
    let registration = spawn_in_span(move || {
        service.live().registrar.register(&RegistrationRequest {
            body: &body,
            api_key: api_key.as_deref(),
            address,
            metrics: &service.metrics,
            wait: &wait,
        })
    });
    match registration.await {
        Ok(result) => Ok(result?),
        Err(error) => Err(interrupted(error.to_string())),
    }
}
