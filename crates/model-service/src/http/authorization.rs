//! The tokens of requests by programs.

use std::net::IpAddr;
use std::time::Instant;

use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::error::RequestError;
use super::peer::Peer;
use crate::buckets::network;
use crate::service::Service;
use crate::settings::Role;
use crate::tokens::Token;

/// Returns the name of the token of a request, which must permit what `role` is for.
pub(super) fn authorize<'a>(
    service: &'a Service,
    request: &Parts,
    role: Role,
) -> Result<&'a str, RequestError> {
    let Some(Peer(address)) = request.extensions.get().copied() else {
        return Err(RequestError::Unauthorized);
    };
    let token = find(service, &request.headers, address)?;
    if token.permits(role) {
        return Ok(&token.name);
    }
    tracing::warn!(%address, token = token.name, "refused: the token has another role");
    Err(RequestError::Role {
        name: token.name.clone(),
        role: role.name(),
    })
}

/// The token of a request. After too many wrong ones from an address none is checked, not even the
/// right one: the answer would tell which guess was right.
fn find<'a>(service: &'a Service, headers: &HeaderMap, address: IpAddr) -> Result<&'a Token, RequestError> {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let secret = given
        .and_then(|given| given.split_at_checked("Bearer ".len()))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "))
        .map(|(_, secret)| secret);
    let Some(secret) = secret else {
        tracing::warn!(%address, "refused: the token is missing");
        return Err(RequestError::Unauthorized);
    };
    let (host, now) = (network(address), Instant::now());
    if !service.wrong_tokens.has(&host, now) {
        tracing::debug!(%address, "refused: too many wrong tokens");
        return Err(RequestError::TooManyTokens);
    }
    let found = service.tokens.find(secret);
    if found.is_none() {
        service.wrong_tokens.take(host, now);
        match service.wrong_tokens.has(&host, now) {
            true => tracing::warn!(%address, "refused: the token is wrong"),
            false => tracing::warn!(%address, "refused: the token is wrong; the next ones are not checked"),
        }
    }
    found.ok_or(RequestError::Unauthorized)
}
