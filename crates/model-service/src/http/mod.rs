//! HTTP: the addresses, and what they have in common.

mod body;
mod device;
mod import;
mod linger;
mod rate;
mod reply;
mod server;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};

use body::read_limited;
pub(crate) use import::{begin, finished};
pub(crate) use rate::{Buckets, RateLimit, network};
use reply::refused;
pub(crate) use server::serve;

use crate::page;
use crate::refusal::{Code, Refusal};
use crate::service::Service;

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The whole service.
fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/request-id", post(device::request_id))
        .route("/v1/request-id", post(device::request_id))
        .route("/serial", post(device::serial))
        .route("/v1/serial", post(device::serial))
        .route("/v1/hardware-identities", post(import::import))
        .route("/health", get(|| async { "ok\n" }))
        .merge(page::routes(&service))
        .fallback(not_found)
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&service), limit_rate))
        .with_state(service)
}

async fn not_found() -> Response {
    let message = "there is nothing here. Ask with POST for /v1/request-id, /v1/serial or /v1/hardware-identities, or see the \
                   page at /";
    refused(&Refusal::new(Code::NotFound, message))
}

/// axum adds the header Allow.
async fn other_method(method: Method) -> Response {
    let message =
        format!("nothing at this address is asked for with {method}. The header Allow names what is");
    refused(&Refusal::new(Code::Method, message))
}

async fn limit_rate(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let address = request.extensions().get::<Peer>().map(|peer| peer.0);
    if address.is_none_or(|address| service.rate.allows(address)) {
        return next.run(request).await;
    }
    // Asked too often for a nonce, snapd comes again after a minute if the status is above 500; its retry of a
    // request for a serial would fail at the body that its hook has left, and hide this message.
    let code = match request.uri().path().ends_with("/request-id") {
        true => Code::RateLimitNonces,
        false => Code::RateLimit,
    };
    refused(&Refusal::new(
        code,
        "too many requests came from this address. Wait a minute, or raise requests-per-minute in the settings",
    ))
}
