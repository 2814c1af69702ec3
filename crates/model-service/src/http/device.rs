//! What devices ask for: a nonce, then a serial.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::json;
use tokio::task::spawn_blocking;

use super::{Peer, read_limited, refused};
use crate::refusal::{Code, Refusal};
use crate::registration::{Incoming, Registered};
use crate::secret::random_token;
use crate::service::Service;
use crate::store;

/// snapd's media type for assertions.
const ASSERTION: &str = "application/x.ubuntu.assertion";

/// `POST /v1/request-id`
pub(super) async fn request_id(State(service): State<Arc<Service>>) -> Response {
    match new_nonce(&service).await {
        Ok(nonce) => {
            let body = json!({ "request-id": nonce }).to_string();
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(refusal) => refused(&refusal),
    }
}

async fn new_nonce(service: &Service) -> Result<String, Refusal> {
    let nonce = random_token().map_err(|error| {
        tracing::error!("{error}");
        Refusal::new(Code::Unavailable, error.to_string())
    })?;
    let (seconds, most) = (service.nonce_seconds, service.limits.open_nonces.into());
    let now = Timestamp::now().as_second();
    let stored = nonce.clone();
    let written = service
        .store
        .write(move |connection| store::issue(connection, &stored, now, seconds, most));
    store::received(written.await)?;
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
        Err(refusal) => Err(refusal),
    };
    match registered {
        Ok(Registered { text, new }) => {
            let status = if new { StatusCode::CREATED } else { StatusCode::OK };
            (status, [(header::CONTENT_TYPE, ASSERTION)], text).into_response()
        }
        Err(refusal) => refused(&refusal),
    }
}

async fn read(service: &Service, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Refusal> {
    check_content_type(headers)?;
    let time = Duration::from_secs(service.limits.request_seconds.into());
    read_limited(headers, body, service.limits.serial_body_bytes, time).await
}

/// Refuses anything but assertions; parameters after the type do not matter.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or("?"));
    let kind = given.and_then(|given| given.split(';').next()).map(str::trim);
    if kind.is_some_and(|kind| kind.eq_ignore_ascii_case(ASSERTION)) {
        return Ok(());
    }
    Err(Refusal::new(
        Code::ContentType,
        format!(
            "the content type is {}. Send assertions as {ASSERTION}",
            given.map_or("missing".to_owned(), |given| format!("{given:?}"))
        ),
    ))
}

async fn register(
    service: Arc<Service>,
    address: String,
    headers: &HeaderMap,
    body: Vec<u8>,
) -> Result<Registered, Refusal> {
    let api_key = headers.get("api-key").map(|value| value.as_bytes().to_vec());
    // In the order in which they came: with all at once on few cores, some would wait for most of the others.
    let turn = Arc::clone(&service.turns).acquire_owned().await;
    let turn = turn.map_err(|error| Refusal::new(Code::Unavailable, error.to_string()))?;
    let registration = spawn_blocking(move || {
        let _turn = turn;
        service.registrar.register(&Incoming {
            body: &body,
            api_key: api_key.as_deref(),
            address,
        })
    });
    registration.await.unwrap_or_else(|error| {
        tracing::error!("a registration did not end: {error}");
        Err(Refusal::new(
            Code::Unavailable,
            "the registration did not end. Try again",
        ))
    })
}
