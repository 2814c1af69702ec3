//! The state of the page: the service, and who is logged in.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Redirect;
use failure::Diagnostic;
use thiserror::Error;

use super::attempts::LoginAttempts;
use super::cookies::{Cookies, SESSION};
use super::session::{Session, Sessions};
use crate::secret::{RandomError, Secret, SecretError};
use crate::service::Service;
use crate::settings::Settings;

/// Why the page cannot start.
#[derive(Debug, Error, Diagnostic)]
pub enum PageStartError {
    /// The password cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Password(#[from] SecretError),
    /// The system has no random numbers.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Random(#[from] RandomError),
}

/// The state of the page.
pub(crate) struct Page {
    pub(super) service: Arc<Service>,
    pub(super) password: Secret,
    pub(super) sessions: Sessions,
    pub(super) attempts: LoginAttempts,
    pub(super) cookies: Cookies,
}

impl Page {
    /// Reads the password.
    pub(crate) fn open(settings: &Settings, service: Arc<Service>) -> Result<Self, PageStartError> {
        Ok(Self {
            service,
            password: Secret::read(&settings.page_password_file)?,
            sessions: Sessions::default(),
            attempts: LoginAttempts::new()?,
            cookies: Cookies::new(settings.tls.is_some() || settings.secure_cookies),
        })
    }

    fn session(&self, headers: &HeaderMap) -> Option<Session> {
        let cookie = self.cookies.find(headers, SESSION)?;
        self.sessions.find(cookie)
    }
}

/// The session of a request, or a redirect to the login.
impl FromRequestParts<Arc<Page>> for Session {
    type Rejection = Redirect;

    async fn from_request_parts(parts: &mut Parts, page: &Arc<Page>) -> Result<Self, Redirect> {
        page.session(&parts.headers).ok_or_else(|| Redirect::to("/login"))
    }
}
