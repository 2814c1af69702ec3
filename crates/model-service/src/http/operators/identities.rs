//! `/v1/identities`: the imported hardware identities.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::changes::Change;
use super::csv::CsvRow;
use super::list::{List, Page, Time, list_query, range};
use super::serials::Number;
use super::{Reader, time};
use crate::http::query::Segments;
use crate::http::status::{Refusal, json};
use crate::service::Service;
use crate::store::{IdentityEntry, IdentityFilter, IdentityHistory, IdentityState};

list_query! {
    /// Which identities are listed.
    IdentityQuery {
        /// In an id, a name or the digest, in any case
        text: Option<String>,
        hardware_name: Option<String>,
        issuer: Option<String>,
        blocked: Option<bool>,
        /// That the device has a serial
        registered: Option<bool>,
        /// The number of the import that brought it
        lot: Option<i64>,
        /// Imported at this time or later
        #[param(value_type = Option<String>, format = DateTime)]
        since: Option<Time>,
        /// Imported before this time
        #[param(value_type = Option<String>, format = DateTime)]
        until: Option<Time>,
    }
}

/// An identity in a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct IdentityItem {
    issuer: String,
    /// The header `hardware-id-key-sha3-384`
    digest: String,
    /// The digest of the key's DER bytes
    key_digest: String,
    revision: u64,
    hardware_id: String,
    hardware_name: String,
    manufacturer: String,
    #[schema(format = DateTime)]
    imported: Option<String>,
    /// The number of the import
    lot: i64,
    blocked: bool,
    /// The device has a serial
    registered: bool,
}

impl From<IdentityEntry> for IdentityItem {
    fn from(entry: IdentityEntry) -> Self {
        Self {
            issuer: entry.issuer,
            digest: entry.digest,
            key_digest: entry.key_digest,
            revision: entry.revision,
            hardware_id: entry.hardware_id,
            hardware_name: entry.hardware_name,
            manufacturer: entry.manufacturer,
            imported: time(entry.imported),
            lot: entry.lot,
            blocked: entry.blocked,
            registered: entry.registered,
        }
    }
}

impl CsvRow for IdentityItem {
    const HEADER: &'static [&'static str] = &[
        "issuer",
        "digest",
        "key-digest",
        "revision",
        "hardware-id",
        "hardware-name",
        "manufacturer",
        "imported",
        "lot",
        "blocked",
        "registered",
    ];
}

/// Lists hardware identities
#[utoipa::path(get, path = "/identities", operation_id = "list-identities", tag = "identities",
    params(IdentityQuery), responses((status = OK, body = inline(Page<IdentityItem>))))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    List { query, view }: List<IdentityQuery>,
) -> Result<Response, Refusal> {
    let filter = IdentityFilter {
        text: query.text,
        hardware_name: query.hardware_name,
        issuer: query.issuer,
        blocked: query.blocked,
        registered: query.registered,
        lot: query.lot,
        imported: range(query.since, query.until),
    };
    let listing = service.store.list_identities(filter, view.page).await?;
    Ok(view.response::<_, IdentityItem>(listing)?)
}

/// What is known of a key: its assertions, its serials and what happened to it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct IdentityDetail {
    /// The digest of the key's DER bytes
    key_digest: String,
    /// One for each issuer and form of the digest
    identities: Vec<IdentityAssertion>,
    /// The serials that the device has
    serials: Vec<Number>,
    /// Null if it is not blocked
    blocked: Option<Block>,
    /// Changes by administrators, newest first
    changes: Vec<Change>,
}

/// An assertion for an identity.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct IdentityAssertion {
    issuer: String,
    digest: String,
    revision: u64,
    hardware_id: String,
    hardware_name: String,
    manufacturer: String,
    #[schema(format = DateTime)]
    imported: Option<String>,
    /// The number of the import
    lot: Option<i64>,
    /// The signed assertion
    assertion: Option<String>,
}

/// Since when an identity is blocked, and why.
#[derive(Serialize, ToSchema)]
struct Block {
    #[schema(format = DateTime)]
    since: Option<String>,
    reason: String,
}

impl IdentityDetail {
    fn new(state: IdentityState, history: IdentityHistory) -> Self {
        let stored = |issuer: &str, digest: &str| {
            let mut assertions = history.assertions.iter();
            assertions.find(|stored| stored.issuer == issuer && stored.digest == digest)
        };
        let identities = state.identities.into_iter().map(|identity| {
            let stored = stored(&identity.issuer, &identity.digest);
            IdentityAssertion {
                imported: stored.and_then(|stored| time(stored.imported)),
                lot: stored.map(|stored| stored.lot),
                assertion: stored.map(|stored| stored.assertion.clone()),
                issuer: identity.issuer,
                digest: identity.digest,
                revision: identity.revision,
                hardware_id: identity.hardware_id,
                hardware_name: identity.hardware_name,
                manufacturer: identity.manufacturer,
            }
        });
        Self {
            key_digest: state.key_digest,
            identities: identities.collect(),
            serials: state.serials.into_iter().map(Number::from).collect(),
            blocked: state.blocked.map(|(since, reason)| Block {
                since: time(since),
                reason,
            }),
            changes: history.changes.into_iter().map(Change::from).collect(),
        }
    }
}

/// Shows a hardware identity
#[utoipa::path(get, path = "/identities/{digest}", operation_id = "show-identity", tag = "identities",
    params(("digest" = String, Path, description = "The digest of the key, in either form")),
    responses((status = OK, body = IdentityDetail),
              (status = NOT_FOUND, description = "`identity-not-imported`", body = crate::http::status::Problem)))]
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    _: Reader,
    Segments(digest): Segments<String>,
) -> Result<Response, Refusal> {
    let state = service
        .with_store(move |store| store.find_identity(&digest))
        .await?;
    let history = service.store.identity_history(&state.key_digest).await?;
    Ok(json(StatusCode::OK, &IdentityDetail::new(state, history)))
}
