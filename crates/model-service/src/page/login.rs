//! Logging in and out.

use std::sync::Arc;

use axum::extract::{Extension, Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::cookies::{KNOWN, SESSION};
use super::error::PageError;
use super::frame;
use super::session::Session;
use super::state::Page;
use crate::http::Peer;
use crate::secret::RandomError;

const TITLE: &str = "Log in";

pub(super) async fn form() -> Response {
    frame::bare(TITLE, &form_markup(None)).into_response()
}

fn form_markup(error: Option<&PageError>) -> Markup {
    html! {
        @if let Some(error) = error {
            (frame::problem(error))
        }
        form.sheet method="post" action="/login" {
            label for="password" { "Password of the model service" }
            div.fields {
                input #password type="password" name="password" autocomplete="current-password" required autofocus;
                button { "Log in" }
            }
            p.hint { "It is in the file that the setting " code { "page-password-file" } " names." }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Login {
    password: String,
}

pub(super) async fn login(
    State(page): State<Arc<Page>>,
    Extension(Peer(address)): Extension<Peer>,
    headers: HeaderMap,
    Form(login): Form<Login>,
) -> Response {
    let source = page.attempts.source(page.cookies.find(&headers, KNOWN), address);
    if !page.attempts.take(&source) {
        return not_logged_in(StatusCode::TOO_MANY_REQUESTS, &PageError::TooManyPasswords);
    }
    if !page.password.matches(login.password.trim().as_bytes()) {
        tracing::warn!(%address, "a wrong password for the page");
        return not_logged_in(StatusCode::UNAUTHORIZED, &PageError::PasswordWrong);
    }
    page.attempts.put_back(&source);
    logged_in(&page).unwrap_or_else(|error| {
        tracing::error!("{error}");
        not_logged_in(StatusCode::SERVICE_UNAVAILABLE, &error.into())
    })
}

fn not_logged_in(status: StatusCode, error: &PageError) -> Response {
    (status, frame::bare(TITLE, &form_markup(Some(error)))).into_response()
}

/// Starts a session, and makes the browser a known one.
fn logged_in(page: &Page) -> Result<Response, RandomError> {
    let cookies = [
        page.cookies.set(SESSION, &page.sessions.start()?, ""),
        page.cookies
            .set(KNOWN, &page.attempts.cookie()?, "; Max-Age=7776000"),
    ]
    .map(|cookie| (header::SET_COOKIE, cookie));
    Ok((AppendHeaders(cookies), Redirect::to("/")).into_response())
}

#[derive(Deserialize)]
pub(super) struct Logout {
    csrf: String,
}

pub(super) async fn logout(
    session: Session,
    State(page): State<Arc<Page>>,
    Form(form): Form<Logout>,
) -> Response {
    if !session.accepts(&form.csrf) {
        return frame::stale();
    }
    page.sessions.end(&session);
    Redirect::to("/login").into_response()
}
