//! The addresses for the programs of operators: lists, details and changes, with tokens.

mod changes;
mod csv;
mod identities;
mod imports;
mod list;
mod models;
mod nonces;
mod registrations;
mod serials;
mod statistics;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use jiff::Timestamp;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use self::csv::{CsvRow, write_csv};
pub(crate) use self::identities::IdentityItem;
pub(crate) use self::imports::ImportItem;
pub(crate) use self::nonces::NonceItem;
pub(crate) use self::registrations::RegistrationItem;
pub(crate) use self::serials::SerialItem;
pub(crate) use self::statistics::RefusalCode;
use super::authorization::authorize;
use super::status::Refusal;
use crate::service::Service;
use crate::settings::Role;

/// The addresses under `/v1`.
pub(super) fn routes() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(identities::list))
        .routes(routes!(identities::show))
        .routes(routes!(changes::block, changes::unblock))
        .routes(routes!(registrations::list))
        .routes(routes!(registrations::show))
        .routes(routes!(registrations::list_refusals))
        .routes(routes!(serials::list))
        .routes(routes!(serials::show, changes::release))
        .routes(routes!(nonces::list))
        .routes(routes!(imports::list))
        .routes(routes!(imports::show))
        .routes(routes!(models::list))
        .routes(routes!(statistics::show))
        .routes(routes!(statistics::refusal_codes))
}

/// A program with a token that permits reading.
struct Reader;

impl FromRequestParts<Arc<Service>> for Reader {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Refusal> {
        authorize(service, parts, Role::Read)?;
        Ok(Self)
    }
}

/// RFC 3339; `None` for a time that is not known.
fn time(seconds: i64) -> Option<String> {
    let known = Some(seconds).filter(|seconds| *seconds > 0);
    known
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map(|time| time.to_string())
}
