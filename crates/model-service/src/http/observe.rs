//! What is recorded of every request: its id, its client, its time and its status.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use super::client::{REQUEST_ID, TrustedProxies};
use super::peer::Peer;
use crate::metrics::Metrics;

/// What every request is recorded with.
#[derive(Clone)]
pub(super) struct Observer {
    pub(super) proxies: Arc<TrustedProxies>,
    pub(super) metrics: Arc<Metrics>,
}

/// Replaces the address of a trusted proxy by that of its client, names the request in the lines of
/// the log, and counts it.
pub(super) async fn observe(State(observer): State<Observer>, mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let headers = request.headers();
    let peer = request.extensions().get::<Peer>().copied();
    let (client, id) = match peer {
        Some(Peer(peer)) => (
            Some(Peer(observer.proxies.client(peer, headers))),
            observer.proxies.request_id(peer, headers),
        ),
        None => (None, String::new()),
    };
    if let Some(client) = client {
        request.extensions_mut().insert(client);
    }
    let method = method_name(request.method());
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    let span = tracing::info_span!("request", id);
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    observer.metrics.count_request(method, route, status);
    let address = client.map(|Peer(address)| tracing::field::display(address));
    let milliseconds = start.elapsed().as_millis() as u64;
    // Those that programs ask for all the time are of no interest.
    span.in_scope(|| match ["/health", "/ready", "/metrics"].contains(&route) {
        true => tracing::debug!(address, method, path, status, milliseconds, "answered"),
        false => tracing::info!(address, method, path, status, milliseconds, "answered"),
    });
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The method as a label, of which there are few.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "DELETE" => "DELETE",
        _ => "other",
    }
}
