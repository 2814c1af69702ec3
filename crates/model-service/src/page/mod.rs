//! The page for people: identities, registrations, import and open nonces, behind a login.
//!
//! Plain HTML without scripts. maud escapes every value in it.

mod attempts;
mod cookies;
mod error;
mod frame;
mod identities;
mod identity;
mod import;
mod login;
mod registrations;
mod session;
mod state;
mod table;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::time::timeout;

use error::PageError;
pub(crate) use state::Page;
pub(crate) use state::{PageStartError, check_password};

const STYLE: &str = include_str!("style.css");

/// The largest form without a file, in bytes.
const MAX_FORM: usize = 16 * 1024;

/// The addresses of the page.
pub(crate) fn routes(page: Page) -> Router {
    let time = Duration::from_secs(page.service.limits.request_seconds.into());
    let short = Router::new()
        .route("/", get(identities::show))
        .route("/identity", get(identity::show).post(identity::change))
        .route("/registrations", get(registrations::show))
        .route("/nonces", get(registrations::nonces))
        .route("/login", get(login::form).post(login::login))
        .route("/logout", post(login::logout))
        .route("/style.css", get(style))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(middleware::from_fn_with_state(time, limit_time));
    // It has its own limits.
    let import = Router::new()
        .route("/import", get(import::form).post(import::upload))
        .layer(DefaultBodyLimit::disable());
    short
        .merge(import)
        .layer(middleware::from_fn(set_policy))
        .with_state(Arc::new(page))
}

async fn limit_time(State(time): State<Duration>, request: Request, next: Next) -> Response {
    timeout(time, next.run(request)).await.unwrap_or_else(|_| {
        let problem = frame::problem(&PageError::Timeout);
        (StatusCode::REQUEST_TIMEOUT, frame::bare("Too late", &problem)).into_response()
    })
}

/// Forbids browsers to run scripts on the page, to frame it, to send its forms elsewhere and to
/// store it.
async fn set_policy(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}
