//! Answers that say why not.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::refusal::Refusal;

/// A refusal in the form that snapd reads: it takes `message`, or else the first of `error_list`. The store calls
/// the list `error-list`; it is there under both names.
///
/// The content type has to be exactly this: snapd looks no further at any other.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    let list = json!([{ "code": refusal.code.name(), "message": refusal.message }]);
    let body = json!({ "message": refusal.message, "error_list": list, "error-list": list });
    let status = refusal.code.status();
    let mut response = (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response();
    let headers = response.headers_mut();
    if matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    ) {
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("60"));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(
            header::WWW_AUTHENTICATE,
            header::HeaderValue::from_static("Bearer"),
        );
    }
    response
}
