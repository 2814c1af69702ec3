//! The page for people: identities, registrations, import and open nonces, behind a login.
//!
//! Plain HTML made here, without scripts. maud escapes every value that goes into it.

mod attempts;
mod frame;
mod identities;
mod import;
mod registrations;
mod session;
mod table;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, Form, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;
use tokio::time::timeout;

pub(crate) use attempts::Attempts;
pub(crate) use session::Sessions;
use session::{Session, cookie_of};

use crate::http::Peer;
use crate::service::Service;

const STYLE: &str = include_str!("style.css");

/// Bytes of a form without a file.
const FORM: usize = 16 * 1024;

/// The page's addresses.
pub(crate) fn routes(service: &Service) -> Router<Arc<Service>> {
    let time = Duration::from_secs(service.limits.request_seconds.into());
    let short = Router::new()
        .route("/", get(identities::show))
        .route("/registrations", get(registrations::show))
        .route("/nonces", get(registrations::nonces))
        .route("/login", get(login_form).post(login))
        .route("/logout", post(logout))
        .route("/style.css", get(style))
        .layer(DefaultBodyLimit::max(FORM))
        .layer(middleware::from_fn_with_state(time, in_time));
    // It has limits of its own.
    let import = Router::new()
        .route("/import", get(import::form).post(import::upload))
        .layer(DefaultBodyLimit::disable());
    short.merge(import).layer(middleware::from_fn(secure))
}

async fn in_time(State(time): State<Duration>, request: Request, next: Next) -> Response {
    timeout(time, next.run(request)).await.unwrap_or_else(|_| {
        let text = frame::problem("That took too long. Try again.");
        (StatusCode::REQUEST_TIMEOUT, frame::bare("Too late", &text)).into_response()
    })
}

/// Nothing on the page may be run, framed, sent elsewhere or kept.
async fn secure(request: Request, next: Next) -> Response {
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

/// The session of a request, or the way to the login.
#[allow(clippy::result_large_err, reason = "the error is the answer")]
fn authorized(service: &Service, headers: &HeaderMap) -> Result<Session, Response> {
    cookie_of(headers, "session")
        .and_then(|cookie| service.sessions.find(cookie))
        .ok_or_else(|| Redirect::to("/login").into_response())
}

async fn login_form() -> Response {
    frame::bare("Log in", &login_markup(None)).into_response()
}

fn login_markup(problem: Option<&str>) -> Markup {
    html! {
        @if let Some(problem) = problem {
            (frame::problem(problem))
        }
        form.sheet method="post" action="/login" {
            label for="password" { "Password of the model service" }
            div.fields {
                input #password type="password" name="password" autocomplete="current-password" required autofocus;
                button { "Log in" }
            }
            p.hint { "It stands in the file that the setting " code { "page-password-file" } " names." }
        }
    }
}

#[derive(Deserialize)]
struct Login {
    password: String,
}

async fn login(
    State(service): State<Arc<Service>>,
    Extension(Peer(address)): Extension<Peer>,
    headers: HeaderMap,
    Form(login): Form<Login>,
) -> Response {
    let who = service.attempts.who(&headers, address);
    if !service.attempts.take(&who) {
        let text = "Too many wrong passwords came from your address. Wait some seconds and try again; a browser that has \
                    logged in before does not have to wait.";
        return not_logged_in(StatusCode::TOO_MANY_REQUESTS, text);
    }
    if !service.page_password.is(login.password.trim().as_bytes()) {
        tracing::warn!(%address, "a wrong password for the page");
        return not_logged_in(StatusCode::UNAUTHORIZED, "The password is wrong.");
    }
    service.attempts.give_back(&who);
    logged_in(&service).unwrap_or_else(|error| {
        tracing::error!("{error}");
        let text = "The system gives no random numbers. Try again.";
        not_logged_in(StatusCode::SERVICE_UNAVAILABLE, text)
    })
}

fn not_logged_in(status: StatusCode, problem: &str) -> Response {
    (status, frame::bare("Log in", &login_markup(Some(problem)))).into_response()
}

/// Starts a session, and lets the browser be known from now on.
fn logged_in(service: &Service) -> anyhow::Result<Response> {
    let secure = if service.tls { "; Secure" } else { "" };
    let cookie = |name: &str, value: String, path: &str| {
        let cookie = format!("{name}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}");
        (header::SET_COOKIE, cookie)
    };
    let known = cookie(
        attempts::COOKIE,
        service.attempts.cookie()?,
        "/login; Max-Age=7776000",
    );
    let cookies = [cookie("session", service.sessions.start()?, "/"), known];
    Ok((AppendHeaders(cookies), Redirect::to("/")).into_response())
}

#[derive(Deserialize)]
struct Logout {
    csrf: String,
}

async fn logout(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Form(form): Form<Logout>,
) -> Response {
    match authorized(&service, &headers) {
        Ok(session) if session.accepts(&form.csrf) => {
            service.sessions.end(&session);
            Redirect::to("/login").into_response()
        }
        Ok(_) => frame::stale(),
        Err(response) => response,
    }
}
