//! The fields of a form, in the address or in the body.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Form, FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use failure::Diagnostic;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::error::PageError;
use super::frame;
use super::state::Page;
use crate::http::RequestError;

/// The fields of a request: those of the query of a GET, else those in the body.
pub(super) struct Fields<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Page>> for Fields<T> {
    /// A page, as for all errors.
    type Rejection = Response;

    async fn from_request(request: Request, page: &Arc<Page>) -> Result<Self, Response> {
        let seconds = page.service.limits.request_seconds.into();
        let form = Form::from_request(request, page);
        match timeout(Duration::from_secs(seconds), form).await {
            Ok(Ok(Form(fields))) => Ok(Self(fields)),
            Err(_) => Err(refused(
                StatusCode::REQUEST_TIMEOUT,
                &RequestError::Timeout { seconds },
            )),
            Ok(Err(rejection)) => {
                let reason = rejection.body_text();
                Err(refused(rejection.status(), &PageError::InvalidFields { reason }))
            }
        }
    }
}

fn refused(status: StatusCode, error: &dyn Diagnostic) -> Response {
    (status, frame::bare("Refused", &frame::problem(error))).into_response()
}
