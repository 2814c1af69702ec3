//! Errors as HTTP responses.
//!
//! snapd shows the message of a status up to 500, and the change fails. Above 500 it shows nothing
//! and asks again after a minute (snapd's `overlord/devicestate`).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::RequestError;
use crate::device_sessions::SessionError;
use crate::message::{cause, message};
use crate::registration::{RegistrationError, SerialError};
use crate::store::WithdrawalError;

/// The HTTP status of an error.
pub(crate) fn status(error: &RequestError) -> StatusCode {
    match error {
        RequestError::ContentType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        RequestError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        RequestError::Incomplete { .. } => StatusCode::BAD_REQUEST,
        RequestError::Timeout { .. } => StatusCode::REQUEST_TIMEOUT,
        RequestError::RateLimit | RequestError::TooManyTokens => StatusCode::TOO_MANY_REQUESTS,
        RequestError::Unauthorized => StatusCode::UNAUTHORIZED,
        RequestError::Role { .. } => StatusCode::FORBIDDEN,
        RequestError::Json { .. } | RequestError::Address { .. } | RequestError::Cursor(_) => {
            StatusCode::BAD_REQUEST
        }
        RequestError::Withdrawal(error) => of_withdrawal(error),
        RequestError::NotFound | RequestError::UnknownNumber { .. } | RequestError::UnknownSerial { .. } => {
            StatusCode::NOT_FOUND
        }
        RequestError::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
        RequestError::Registration(error) => of_registration(error),
        RequestError::Session(error) => of_session(error),
        RequestError::Overloaded
        | RequestError::AnswerTimeout { .. }
        | RequestError::Busy { .. }
        | RequestError::Import(_)
        | RequestError::Store(_)
        | RequestError::Random(_)
        | RequestError::Interrupted { .. } => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn of_registration(error: &RegistrationError) -> StatusCode {
    use RegistrationError as E;
    match error {
        E::Stream(_) | E::Request(_) | E::Model(_) | E::OtherModel { .. } | E::Body(_) => {
            StatusCode::BAD_REQUEST
        }
        E::ApiKeyMissing | E::ApiKeyWrong => StatusCode::UNAUTHORIZED,
        E::RequestSignature(_)
        | E::ModelUnknown { .. }
        | E::ModelSignature(_)
        | E::SerialAuthority { .. }
        | E::Remodel(_)
        | E::NonceUnknown
        | E::NonceExpired
        | E::NonceUsed
        | E::IdentityUnknown { .. }
        | E::OtherIssuer { .. }
        | E::HardwareName { .. }
        | E::NonceSignature { .. } => StatusCode::FORBIDDEN,
        E::Serial(error) => of_serial(error),
        E::IdentityDamaged(_) | E::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn of_session(error: &SessionError) -> StatusCode {
    use SessionError as E;
    match error {
        E::Body { .. } | E::Assertion { .. } => StatusCode::BAD_REQUEST,
        E::NoModel => StatusCode::NOT_FOUND,
        E::Missing | E::NeedsRefresh => StatusCode::UNAUTHORIZED,
        E::ModelUnknown { .. }
        | E::Off { .. }
        | E::Device(_)
        | E::NonceUnknown
        | E::NonceExpired
        | E::NonceUsed
        | E::SerialReplaced { .. }
        | E::IdentityBlocked => StatusCode::FORBIDDEN,
        E::NotMade(_) | E::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn of_withdrawal(error: &WithdrawalError) -> StatusCode {
    match error {
        WithdrawalError::UnknownIdentity { .. } | WithdrawalError::UnknownSerial { .. } => {
            StatusCode::NOT_FOUND
        }
        WithdrawalError::Reason => StatusCode::BAD_REQUEST,
        WithdrawalError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn of_serial(error: &SerialError) -> StatusCode {
    match error {
        SerialError::Missing
        | SerialError::TooLong { .. }
        | SerialError::Invalid { .. }
        | SerialError::Pattern { .. } => StatusCode::BAD_REQUEST,
        SerialError::Taken { .. } => StatusCode::CONFLICT,
        SerialError::IdentityBlocked
        | SerialError::NotHardwareId { .. }
        | SerialError::HardwareIdNotSerial { .. } => StatusCode::FORBIDDEN,
        SerialError::Contended
        | SerialError::AccountKeyExpired
        | SerialError::Signing(_)
        | SerialError::KeyUnavailable { .. }
        | SerialError::Header(_)
        | SerialError::Store(_)
        | SerialError::Ledger(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// A request that is refused.
///
/// snapd takes `message`, or else the first of `error_list`. The store writes `error-list`; the
/// response has both.
#[derive(Serialize, ToSchema)]
pub(super) struct Problem {
    /// `CAUSE. ADVICE. [CODE]`
    message: String,
    error_list: [ProblemEntry; 1],
    #[serde(rename = "error-list")]
    error_list_of_store: [ProblemEntry; 1],
    /// Identifies the problem
    code: String,
    /// What failed
    cause: String,
    /// What to do next
    advice: String,
}

/// The problem, as snapd reads it.
#[derive(Clone, Serialize, ToSchema)]
struct ProblemEntry {
    code: String,
    message: String,
}

impl Problem {
    fn new(error: &RequestError) -> Self {
        let (code, message) = (failure::code(error), message(error));
        let entry = ProblemEntry {
            code: code.clone(),
            message: message.clone(),
        };
        Self {
            message,
            error_list: [entry.clone()],
            error_list_of_store: [entry],
            code,
            cause: cause(error),
            advice: failure::advice(error),
        }
    }
}

/// A request that is refused, as the error of a handler or an extractor.
pub(super) struct Refusal(pub(super) RequestError);

impl<E: Into<RequestError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refused(&self.0)
    }
}

/// A response with a JSON value. snapd demands exactly this content type.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    // The values have no maps with other keys than strings.
    let body = serde_json::to_string(value).unwrap_or_default();
    (status, headers, body).into_response()
}

/// Logs the reason of an error that the client does not get.
pub(crate) fn log_detail(error: &RequestError) {
    if let Some(detail) = error.detail() {
        tracing::error!(code = failure::code(error), "{detail}");
    }
}

/// The response to a request that is refused.
pub(super) fn refused(error: &RequestError) -> Response {
    refused_as(status(error), error)
}

/// The response with another status.
pub(super) fn refused_as(status: StatusCode, error: &RequestError) -> Response {
    log_detail(error);
    let mut response = json(status, &Problem::new(error));
    let headers = response.headers_mut();
    if matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    ) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
