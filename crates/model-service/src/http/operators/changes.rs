//! Changes by administrators: blocked identities and released serials.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::serials::Number;
use super::time;
use crate::http::RequestError;
use crate::http::authorization::authorize;
use crate::http::body::read_limited;
use crate::http::query::Segments;
use crate::http::status::{Problem, Refusal, json};
use crate::service::Service;
use crate::settings::Role;
use crate::store::{self, Authorship, SerialNumber, Store};

/// The longest body, in bytes.
const MAX_BODY: u64 = 16 * 1024;

/// Why something is changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// At most 1000 characters on one line
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
}

/// A change by an administrator.
#[derive(Serialize, ToSchema)]
pub(super) struct Change {
    #[schema(format = DateTime)]
    time: Option<String>,
    /// `identity-blocked`, `identity-unblocked` or `serial-released`
    kind: String,
    /// The name of the device
    device: String,
    /// The serial that was released
    number: Option<Number>,
    reason: String,
    /// Who made it, as in the ledger
    by: String,
}

impl From<store::Change> for Change {
    fn from(change: store::Change) -> Self {
        let released = change.kind == store::ChangeKind::SerialReleased;
        Self {
            time: time(change.time),
            kind: change.kind.name().to_owned(),
            device: change.device,
            number: released.then(|| change.number.into()),
            reason: change.reason,
            by: change.by,
        }
    }
}

/// Whether an identity is blocked now.
#[derive(Serialize, ToSchema)]
struct BlockState {
    blocked: bool,
    /// False if there was nothing to do
    changed: bool,
}

/// That a serial was released.
#[derive(Serialize, ToSchema)]
struct Released {
    released: bool,
}

/// Blocks a hardware identity: it gets no more serials
#[utoipa::path(post, path = "/identities/{digest}/block", operation_id = "block-identity", tag = "identities",
    params(("digest" = String, Path, description = "The digest of the key, in either form")),
    request_body = Reason,
    responses((status = OK, body = BlockState),
              (status = NOT_FOUND, description = "`identity-not-imported`", body = Problem)))]
pub(super) async fn block(
    State(service): State<Arc<Service>>,
    Segments(digest): Segments<String>,
    Administrator(authorship): Administrator,
) -> Result<Response, Refusal> {
    set_blocked(&service, digest, authorship, true).await
}

/// Lets a blocked hardware identity get serials again
#[utoipa::path(delete, path = "/identities/{digest}/block", operation_id = "unblock-identity", tag = "identities",
    params(("digest" = String, Path, description = "The digest of the key, in either form")),
    request_body = Reason,
    responses((status = OK, body = BlockState),
              (status = NOT_FOUND, description = "`identity-not-imported`", body = Problem)))]
pub(super) async fn unblock(
    State(service): State<Arc<Service>>,
    Segments(digest): Segments<String>,
    Administrator(authorship): Administrator,
) -> Result<Response, Refusal> {
    set_blocked(&service, digest, authorship, false).await
}

/// Takes a serial from its device, so that another one can get it
#[utoipa::path(delete, path = "/serials/{brand-id}/{model}/{serial}", operation_id = "release-serial", tag = "serials",
    params(("brand-id" = String, Path), ("model" = String, Path), ("serial" = String, Path)),
    request_body = Reason,
    responses((status = OK, body = Released),
              (status = NOT_FOUND, description = "`serial-not-assigned`", body = Problem)))]
pub(super) async fn release(
    State(service): State<Arc<Service>>,
    Segments((brand, model, serial)): Segments<(String, String, String)>,
    Administrator(authorship): Administrator,
) -> Result<Response, Refusal> {
    let number = SerialNumber { brand, model, serial };
    let release = move |store: &Store| store.release_serial(&number, authorship);
    service.with_store(release).await?;
    Ok(json(StatusCode::OK, &Released { released: true }))
}

/// The administrator who sent the request, and the reason in its body.
pub(super) struct Administrator(Authorship);

impl FromRequest<Arc<Service>> for Administrator {
    type Rejection = Refusal;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let name = authorize(service, &parts, Role::Admin)?;
        let time = Duration::from_secs(service.limits.request_seconds.into());
        let body = read_limited(&parts.headers, body, MAX_BODY, time).await?;
        let change: Reason = serde_json::from_slice(&body).map_err(|error| RequestError::Json {
            reason: error.to_string(),
        })?;
        Ok(Self(Authorship::new(format!("token {name}"), &change.reason)?))
    }
}

async fn set_blocked(
    service: &Service,
    digest: String,
    authorship: Authorship,
    blocked: bool,
) -> Result<Response, Refusal> {
    let change = move |store: &Store| match blocked {
        true => store.block_identity(&digest, Timestamp::now().as_second(), authorship),
        false => store.unblock_identity(&digest, authorship),
    };
    let changed = service.with_store(change).await?;
    Ok(json(StatusCode::OK, &BlockState { blocked, changed }))
}
