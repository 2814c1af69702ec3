//! The addresses for administrators: blocked identities and released serials.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::authorization::authorize;
use super::body::read_limited;
use super::error::RequestError;
use super::peer::Peer;
use super::status::refused;
use crate::service::Service;
use crate::settings::Role;
use crate::store::{Authorship, IdentityState, SerialNumber, Store, WithdrawalError};

/// The longest body, in bytes.
const MAX_BODY: u64 = 16 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    reason: String,
}

/// `GET /v1/identities/DIGEST`
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    Extension(Peer(address)): Extension<Peer>,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(error) = authorize(&service, &headers, Role::Read, address) {
        return refused(&error);
    }
    answer(service, move |store| Ok(describe(&store.find_identity(&digest)?))).await
}

/// `POST /v1/identities/DIGEST/block`
pub(super) async fn block(
    State(service): State<Arc<Service>>,
    Extension(Peer(address)): Extension<Peer>,
    Path(digest): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    change(service, headers, address, body, move |store, authorship| {
        let now = Timestamp::now().as_second();
        let changed = store.block_identity(&digest, now, authorship)?;
        Ok(json!({ "blocked": true, "changed": changed }))
    })
    .await
}

/// `DELETE /v1/identities/DIGEST/block`
pub(super) async fn unblock(
    State(service): State<Arc<Service>>,
    Extension(Peer(address)): Extension<Peer>,
    Path(digest): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    change(service, headers, address, body, move |store, authorship| {
        let changed = store.unblock_identity(&digest, authorship)?;
        Ok(json!({ "blocked": false, "changed": changed }))
    })
    .await
}

/// `DELETE /v1/serials/BRAND-ID/MODEL/SERIAL`
pub(super) async fn release(
    State(service): State<Arc<Service>>,
    Extension(Peer(address)): Extension<Peer>,
    Path((brand, model, serial)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    change(service, headers, address, body, move |store, authorship| {
        store.release_serial(&SerialNumber { brand, model, serial }, authorship)?;
        Ok(json!({ "released": true }))
    })
    .await
}

/// Makes a change that an administrator requests, with the reason in the body.
async fn change(
    service: Arc<Service>,
    headers: HeaderMap,
    address: IpAddr,
    body: Body,
    work: impl FnOnce(&Store, Authorship) -> Result<Value, WithdrawalError> + Send + 'static,
) -> Response {
    match authorship(&service, &headers, address, body).await {
        Ok(authorship) => answer(service, move |store| work(store, authorship)).await,
        Err(error) => refused(&error),
    }
}

/// The administrator who sent the request, and the reason in its body.
async fn authorship(
    service: &Service,
    headers: &HeaderMap,
    address: IpAddr,
    body: Body,
) -> Result<Authorship, RequestError> {
    let name = authorize(service, headers, Role::Admin, address)?;
    let time = Duration::from_secs(service.limits.request_seconds.into());
    let body = read_limited(headers, body, MAX_BODY, time).await?;
    let change: Change = serde_json::from_slice(&body).map_err(|error| RequestError::Json {
        reason: error.to_string(),
    })?;
    Ok(Authorship::new(format!("token {name}"), &change.reason)?)
}

/// Runs `work` in a thread that may block, and makes a response of its result.
async fn answer(
    service: Arc<Service>,
    work: impl FnOnce(&Store) -> Result<Value, WithdrawalError> + Send + 'static,
) -> Response {
    let done = spawn_blocking(move || work(&service.store)).await;
    let result = match done {
        Ok(result) => result.map_err(RequestError::from),
        Err(error) => Err(RequestError::Interrupted {
            reason: error.to_string(),
        }),
    };
    match result {
        Ok(value) => ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response(),
        Err(error) => refused(&error),
    }
}

fn describe(state: &IdentityState) -> Value {
    let identities: Vec<_> = state
        .identities
        .iter()
        .map(|identity| {
            json!({
                "issuer": identity.issuer, "digest": identity.digest, "revision": identity.revision,
                "hardware-id": identity.hardware_id, "hardware-name": identity.hardware_name,
                "manufacturer": identity.manufacturer,
            })
        })
        .collect();
    let serials: Vec<_> = state
        .serials
        .iter()
        .map(|number| json!({ "brand-id": number.brand, "model": number.model, "serial": number.serial }))
        .collect();
    let blocked = state
        .blocked
        .as_ref()
        .map(|(since, reason)| json!({ "since": since, "reason": reason }));
    json!({
        "key-digest": state.key_digest, "identities": identities, "serials": serials, "blocked": blocked,
    })
}
