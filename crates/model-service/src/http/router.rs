//! The addresses of the service.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::client::TrustedProxies;
use super::error::RequestError;
use super::observe::{Observer, observe};
use super::openapi;
use super::peer::Peer;
use super::rate::RateLimit;
use super::status::{refused, refused_as};
use super::{device, import, operators, sessions, state};
use crate::service::Service;

/// The addresses of the listeners.
pub(crate) struct Routers {
    /// Those of `listen`.
    pub(crate) devices: Router,
    /// Those of `operator-listen`, if they are apart.
    pub(crate) operators: Option<Router>,
}

/// The addresses for programs and those of `page`. Those for operators are apart if `apart` is true.
pub(crate) fn routers(
    service: &Arc<Service>,
    page: Router,
    proxies: &Arc<TrustedProxies>,
    apart: bool,
) -> Routers {
    let time = Duration::from_secs(service.limits.answer_seconds.into());
    let timed = |routes: OpenApiRouter<Arc<Service>>| {
        let (router, api) = routes.split_for_parts();
        (
            router.layer(middleware::from_fn_with_state(time, limit_time)),
            api,
        )
    };
    let (devices, for_devices) = timed(device_routes());
    let (health, for_all) = timed(
        OpenApiRouter::new()
            .routes(routes!(state::health))
            .routes(routes!(state::ready)),
    );
    let (short, for_operators) = timed(operator_routes());
    // It has a limit on its pauses alone.
    let (long, for_imports) = import_routes().split_for_parts();
    let document = openapi::document([for_devices, for_all, for_operators, for_imports]);
    let operators = short.merge(long).layer(Extension(document));
    let limits = &service.limits;
    let rate = Arc::new(RateLimit::new(limits.requests_per_minute, limits.limit_loopback));
    let observer = Observer {
        proxies: Arc::clone(proxies),
        metrics: Arc::clone(&service.metrics),
    };
    let complete = |router: Router<Arc<Service>>, page| {
        let router = router.with_state(Arc::clone(service)).merge(page);
        complete(router, &rate, &observer)
    };
    match apart {
        true => Routers {
            devices: complete(devices.merge(health.clone()), Router::new()),
            operators: Some(complete(operators.merge(health), page)),
        },
        false => Routers {
            devices: complete(devices.merge(health).merge(operators), page),
            operators: None,
        },
    }
}

fn device_routes() -> OpenApiRouter<Arc<Service>> {
    device::routes()
        .nest("/v1", device::routes())
        .merge(sessions::routes())
}

fn operator_routes() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .nest("/v1", operators::routes().merge(sessions::verification_routes()))
        .routes(routes!(state::metrics))
        .routes(routes!(openapi::show))
}

fn import_routes() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().nest("/v1", OpenApiRouter::new().routes(routes!(import::import)))
}

/// Adds what holds for all requests of a listener.
fn complete(router: Router, rate: &Arc<RateLimit>, observer: &Observer) -> Router {
    router
        .fallback(not_found)
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn_with_state(Arc::clone(rate), limit_rate))
        .layer(middleware::from_fn_with_state(observer.clone(), observe))
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
