//! The queries of addresses.

use axum::extract::Query;
use axum::http::Uri;
use serde::de::DeserializeOwned;

use super::error::RequestError;

/// Reads the parameters of a query. Unknown ones are refused if `T` refuses them.
pub(super) fn read_query<T: DeserializeOwned>(uri: &Uri) -> Result<T, RequestError> {
    let query = Query::try_from_uri(uri).map_err(|error| RequestError::Query {
        reason: error.body_text(),
    })?;
    Ok(query.0)
}
