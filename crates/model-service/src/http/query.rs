//! The parameters in addresses.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::RequestError;
use super::status::Refusal;

/// The parameters of the path.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(segments) =
            Path::from_request_parts(parts, state)
                .await
                .map_err(|error| RequestError::Address {
                    reason: error.body_text(),
                })?;
        Ok(Self(segments))
    }
}

/// The parameters of the query.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(Self(read_query(&parts.uri)?))
    }
}

/// Reads the parameters of a query. Unknown ones are refused if `T` refuses them.
pub(super) fn read_query<T: DeserializeOwned>(uri: &Uri) -> Result<T, RequestError> {
    let query = Query::try_from_uri(uri).map_err(|error| RequestError::Address {
        reason: error.body_text(),
    })?;
    Ok(query.0)
}
