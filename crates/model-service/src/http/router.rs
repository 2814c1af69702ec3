//! The addresses of the service.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use tokio::time::timeout;

use super::error::RequestError;
use super::peer::Peer;
use super::rate::RateLimit;
use super::status::{refused, refused_as};
use super::{admin, device, import};
use crate::service::Service;

/// The addresses for programs and those of `page`, with the limit on the rate of requests.
pub(crate) fn router(service: Arc<Service>, page: Router) -> Router {
    let limits = &service.limits;
    let rate = RateLimit::new(limits.requests_per_minute, limits.limit_loopback);
    let time = Duration::from_secs(limits.answer_seconds.into());
    Router::new()
        .route("/request-id", post(device::request_id))
        .route("/v1/request-id", post(device::request_id))
        .route("/serial", post(device::serial))
        .route("/v1/serial", post(device::serial))
        .route("/v1/identities/{digest}", get(admin::show))
        .route(
            "/v1/identities/{digest}/block",
            post(admin::block).delete(admin::unblock),
        )
        .route("/v1/serials/{brand}/{model}/{serial}", delete(admin::release))
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(ready))
        .layer(middleware::from_fn_with_state(time, limit_time))
        // It has a limit on its pauses alone.
        .route("/v1/hardware-identities", post(import::import))
        .with_state(service)
        .merge(page)
        .fallback(not_found)
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn_with_state(Arc::new(rate), limit_rate))
}

/// `GET /ready`: the service can write and sign, which `/health` does not say.
async fn ready(State(service): State<Arc<Service>>) -> Response {
    match service.check_ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => refused(&error.into()),
    }
}

/// The addresses for connections beyond the limits: all refuse.
pub(super) fn overloaded() -> Router {
    Router::new().fallback(|| async { refused(&RequestError::Overloaded) })
}

async fn not_found() -> Response {
    refused(&RequestError::NotFound)
}

/// axum adds the header Allow.
async fn other_method(method: Method) -> Response {
    refused(&RequestError::Method {
        method: method.to_string(),
    })
}

async fn limit_time(State(time): State<Duration>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    timeout(time, next.run(request)).await.unwrap_or_else(|_| {
        let seconds = time.as_secs();
        tracing::error!(path, "no answer after {seconds} s");
        refused(&RequestError::AnswerTimeout { seconds })
    })
}

async fn limit_rate(State(rate): State<Arc<RateLimit>>, request: Request, next: Next) -> Response {
    let address = request.extensions().get::<Peer>().map(|peer| peer.0);
    if address.is_none_or(|address| rate.allows(address)) {
        return next.run(request).await;
    }
    // For a nonce, snapd asks again after a minute if the status is above 500. Its retry of a
    // request for a serial would fail at the body that its hook has left, and hide this message.
    match request.uri().path().ends_with("/request-id") {
        true => refused_as(StatusCode::SERVICE_UNAVAILABLE, &RequestError::RateLimit),
        false => refused(&RequestError::RateLimit),
    }
}
