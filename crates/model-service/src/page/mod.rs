//! The page for people: overview, lists, histories and import, behind a login.
//!
//! Plain HTML that works without scripts. maud escapes every value in it.

mod attempts;
mod cells;
mod chart;
mod cookies;
mod csv;
mod error;
mod fields;
mod filter;
mod form;
mod frame;
mod history;
mod identities;
mod identity;
mod import;
mod imports;
mod list;
mod login;
mod nonces;
mod overview;
mod refusals;
mod registrations;
mod serial;
mod serials;
mod session;
mod state;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::time::timeout;

use self::identities::Identities;
use self::nonces::Nonces;
use self::registrations::Registrations;
use self::serials::Serials;
use crate::http::RequestError;
pub(crate) use state::Page;
pub(crate) use state::{PageStartError, check_password};

const SCRIPT: &str = include_str!("copy.js");

/// The largest form without a file, in bytes.
const MAX_FORM: usize = 16 * 1024;

/// The addresses of the page.
pub(crate) fn routes(page: Page) -> Router {
    let time = Duration::from_secs(page.service.limits.answer_seconds.into());
    let short = Router::new()
        .route("/", get(overview::show))
        .merge(list::routes::<Identities, _>())
        .route("/identity", get(identity::show).post(identity::change))
        .merge(list::routes::<Registrations, _>())
        .route("/refusals", get(refusals::show))
        .route("/refusals.csv", get(refusals::download))
        .merge(list::routes::<Serials, _>())
        .route(serial::ADDRESS, get(serial::show).post(serial::release))
        .merge(list::routes::<Nonces, _>())
        .route("/import", get(import::show))
        .route("/imports.csv", get(imports::download))
        .route("/login", get(login::form).post(login::login))
        .route("/logout", post(login::logout))
        .route(
            "/style.css",
            get(|| asset("text/css; charset=utf-8", pages::STYLE)),
        )
        .route(
            "/copy.js",
            get(|| asset("text/javascript; charset=utf-8", SCRIPT)),
        )
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(middleware::from_fn_with_state(time, limit_time));
    // It has a limit on its pauses alone.
    let import = Router::new()
        .route("/import", post(import::upload))
        .layer(DefaultBodyLimit::disable());
    short
        .merge(import)
        .layer(middleware::from_fn(set_policy))
        .with_state(Arc::new(page))
}

async fn limit_time(State(time): State<Duration>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    timeout(time, next.run(request)).await.unwrap_or_else(|_| {
        let seconds = time.as_secs();
        tracing::error!(path, "no answer after {seconds} s");
        let problem = frame::problem(&RequestError::AnswerTimeout { seconds });
        (StatusCode::SERVICE_UNAVAILABLE, frame::bare("Too late", &problem)).into_response()
    })
}

/// Forbids browsers to run other scripts than that of the page, to frame it, to send its forms
/// elsewhere and to store it.
async fn set_policy(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
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

async fn asset(content_type: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, content_type)], content).into_response()
}
