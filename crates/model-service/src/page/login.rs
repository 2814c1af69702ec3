//! Logging in and out.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use failure::Diagnostic;
use maud::{Markup, html};
use serde::Deserialize;

use super::attempts::LoginSource;
use super::cookies::{KNOWN, SESSION};
use super::error::PageError;
use super::fields::Fields;
use super::frame;
use super::session::{self, Session};
use super::state::Page;
use crate::http::{Peer, RequestError, log_detail};

const TITLE: &str = "Log in";

pub(super) async fn form() -> Response {
    frame::bare(TITLE, &form_markup(None)).into_response()
}

fn form_markup(error: Option<&dyn Diagnostic>) -> Markup {
    html! {
        @if let Some(error) = error {
            (frame::problem(error))
        }
        form.sheet method="post" action="/login" {
            label for="password" { "Password of the model service" }
            div.field {
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
    Fields(login): Fields<Login>,
) -> Response {
    let source = page.attempts.source(page.cookies.find(&headers, KNOWN), address);
    match page.attempts.take(&source).await {
        Ok(true) => {}
        Ok(false) => return not_logged_in(StatusCode::TOO_MANY_REQUESTS, &PageError::TooManyPasswords),
        Err(error) => return unavailable(&error.into()),
    }
    if !page.password.matches(login.password.trim().as_bytes()) {
        tracing::warn!(%address, "a wrong password for the page");
        return not_logged_in(StatusCode::UNAUTHORIZED, &PageError::PasswordWrong);
    }
    logged_in(&page, &source)
        .await
        .unwrap_or_else(|error| unavailable(&error))
}

/// The response without what the database said: nobody is logged in.
fn unavailable(error: &RequestError) -> Response {
    log_detail(error);
    not_logged_in(StatusCode::SERVICE_UNAVAILABLE, error)
}

fn not_logged_in(status: StatusCode, error: &dyn Diagnostic) -> Response {
    (status, frame::bare(TITLE, &form_markup(Some(error)))).into_response()
}

/// Starts a session, and makes the browser a known one.
async fn logged_in(page: &Page, source: &LoginSource) -> Result<Response, RequestError> {
    page.attempts.put_back(source).await?;
    let session = session::start(&page.service.store).await?;
    let cookies = [
        page.cookies.set(SESSION, &session, ""),
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
    Fields(form): Fields<Logout>,
) -> Response {
    if !session.accepts(&form.csrf) {
        return frame::stale();
    }
    match session::end(&page.service.store, &session).await {
        Ok(()) => Redirect::to("/login").into_response(),
        Err(error) => unavailable(&error.into()),
    }
}
