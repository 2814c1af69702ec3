//! The tokens of requests by programs.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

use super::error::RequestError;
use crate::service::Service;
use crate::settings::Role;

/// Returns the name of the token of a request, which must permit what `role` is for.
pub(super) fn authorize<'a>(
    service: &'a Service,
    headers: &HeaderMap,
    role: Role,
    address: IpAddr,
) -> Result<&'a str, RequestError> {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let secret = given
        .and_then(|given| given.split_at_checked("Bearer ".len()))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "))
        .map(|(_, secret)| secret);
    match secret.and_then(|secret| service.tokens.find(secret)) {
        None => {
            tracing::warn!(%address, "refused: the token is missing or wrong");
            Err(RequestError::Unauthorized)
        }
        Some(token) if token.permits(role) => Ok(&token.name),
        Some(token) => {
            tracing::warn!(%address, token = token.name, "refused: the token has another role");
            Err(RequestError::Role {
                name: token.name.clone(),
                role: role.name(),
            })
        }
    }
}
