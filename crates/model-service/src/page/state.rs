//! The state of the page: the service, and who is logged in.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use failure::Diagnostic;
use thiserror::Error;

use super::attempts::LoginAttempts;
use super::cookies::{Cookies, SESSION};
use super::frame;
use super::session::{self, Session};
use crate::http::{RequestError, log_detail};
use crate::secret::{Secret, SecretError};
use crate::service::Service;
use crate::settings::Settings;
use crate::store::StoreError;

/// Why the page cannot start.
#[derive(Debug, Error, Diagnostic)]
pub enum PageStartError {
    /// The password cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Password(#[from] SecretError),
    /// The database cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

/// Checks the password in the settings.
pub(crate) fn check_password(settings: &Settings) -> Result<(), PageStartError> {
    Secret::read(&settings.page_password_file)?;
    Ok(())
}

/// The state of the page.
pub(crate) struct Page {
    pub(super) service: Arc<Service>,
    pub(super) password: Secret,
    pub(super) attempts: LoginAttempts,
    pub(super) cookies: Cookies,
}

impl Page {
    /// Reads the password.
    pub(crate) fn open(settings: &Settings, service: Arc<Service>) -> Result<Self, PageStartError> {
        Ok(Self {
            password: Secret::read(&settings.page_password_file)?,
            attempts: LoginAttempts::new(service.store.clone())?,
            cookies: Cookies::new(settings.tls.is_some() || settings.secure_cookies),
            service,
        })
    }

    async fn session(&self, headers: &HeaderMap) -> Result<Option<Session>, StoreError> {
        match self.cookies.find(headers, SESSION) {
            Some(cookie) => session::find(&self.service.store, cookie).await,
            None => Ok(None),
        }
    }
}

/// The session of a request, or a redirect to the login.
impl FromRequestParts<Arc<Page>> for Session {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, page: &Arc<Page>) -> Result<Self, Response> {
        match page.session(&parts.headers).await {
            Ok(Some(session)) => Ok(session),
            Ok(None) => Err(Redirect::to("/login").into_response()),
            Err(error) => {
                // Not what the database said: nobody is logged in.
                let error = RequestError::from(error);
                log_detail(&error);
                let problem = frame::problem(&error);
                Err((
                    StatusCode::SERVICE_UNAVAILABLE,
                    frame::bare("Model service", &problem),
                )
                    .into_response())
            }
        }
    }
}
