//! The addresses for sessions: those that snapd asks its store for, an example of a resource that
//! needs a session, and those for other services of the brand.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::authorization::authorize;
use super::body::read_limited;
use super::device::new_nonce;
use super::error::RequestError;
use super::peer::Peer;
use super::status::{Problem, Refusal, json, refused, refused_as, status};
use crate::device_sessions::{SessionError, SessionRequest, VerifiedDevice};
use crate::message::message;
use crate::service::Service;
use crate::settings::Role;
use crate::spawn::spawn_in_span;
use crate::store::NonceKind;
use crate::waiting::Wait;

/// The headers with a session: of snapd's newer API and of the older one.
const HEADERS: [&str; 2] = ["snap-device-authorization", "x-device-authorization"];
/// Tells snapd to get a new session (`store/store.go`).
const REFRESH: HeaderValue = HeaderValue::from_static("Macaroon refresh_device_session=1");

/// A nonce for a device-session-request.
#[derive(Serialize, ToSchema)]
struct Nonce {
    nonce: String,
}

/// Encoded assertions that show which device sends them.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct SessionBody {
    /// Signed with the device key, with a nonce
    device_session_request: String,
    serial_assertion: String,
    model_assertion: String,
}

/// A session.
#[derive(Serialize, ToSchema)]
struct Session {
    macaroon: String,
}

/// A session that a service of the brand got from a device.
#[derive(Deserialize, ToSchema)]
struct GivenSession {
    /// The macaroon, or the whole value of the header
    session: String,
}

/// A program with a token that permits verification.
struct Verifier;

impl FromRequestParts<Arc<Service>> for Verifier {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Refusal> {
        authorize(service, parts, Role::Verify)?;
        Ok(Self)
    }
}

/// The addresses for devices, relative to `/`.
pub(super) fn routes() -> OpenApiRouter<Arc<Service>> {
    let routes = OpenApiRouter::new()
        .routes(routes!(nonces))
        .routes(routes!(sessions))
        .routes(routes!(device));
    OpenApiRouter::new().nest("/api/v1", routes)
}

/// The addresses for services of the brand, relative to `/v1`.
pub(super) fn verification_routes() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(verify_session))
        .routes(routes!(verify_device))
}

/// Issues a nonce, which is valid for a limited time and for one request for a session
#[utoipa::path(post, path = "/snaps/auth/nonces", operation_id = "session-nonce", tag = "device-sessions",
    responses(
        (status = OK, body = Nonce),
        (status = NOT_FOUND, description = "`device-sessions-off`", body = Problem),
    ))]
async fn nonces(State(service): State<Arc<Service>>) -> Response {
    let has_sessions = service
        .live()
        .registrar
        .models
        .iter()
        .any(|model| model.device_sessions);
    let nonce = match has_sessions {
        true => new_nonce(&service, NonceKind::Session).await,
        false => Err(SessionError::NoModel.into()),
    };
    match nonce {
        Ok(nonce) => json(StatusCode::OK, &Nonce { nonce }),
        Err(error) => refused(&error),
    }
}

/// Gives a device a session
#[utoipa::path(post, path = "/snaps/auth/sessions", operation_id = "session", tag = "device-sessions",
    request_body = SessionBody,
    responses(
        (status = OK, body = Session),
        (status = FORBIDDEN, description = "The device may not have a session", body = Problem),
    ))]
async fn sessions(
    State(service): State<Arc<Service>>,
    Extension(Peer(address)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let made = verified_device(&service, &headers, body)
        .await
        .and_then(|device| {
            let macaroon = service.sessions.make(&device)?;
            tracing::info!(%address, device = device.name(), "gave a session");
            Ok(Session { macaroon })
        });
    service.metrics.count_session(match &made {
        Ok(_) => "given".to_owned(),
        Err(error) => failure::code(error),
    });
    match made {
        Ok(session) => json(StatusCode::OK, &session),
        Err(error) => session_refused(&error, address),
    }
}

/// The device of a session: an example of a resource that needs one
#[utoipa::path(get, path = "/device", operation_id = "device", tag = "device-sessions",
    security(("device-session" = [])),
    responses(
        (status = OK, body = VerifiedDevice),
        (status = UNAUTHORIZED, description = "The session is missing, has ended or is not valid", body = Problem),
        (status = FORBIDDEN, description = "The device may no longer have a session", body = Problem),
    ))]
async fn device(
    State(service): State<Arc<Service>>,
    Extension(Peer(address)): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let given = HEADERS.iter().find_map(|name| headers.get(*name));
    let session = given.and_then(|value| value.to_str().ok()).and_then(root);
    let verified = match session {
        Some(session) => verified_session(&service, session.to_owned()).await,
        None => Err(SessionError::Missing.into()),
    };
    match verified {
        Ok(device) => json(StatusCode::OK, &device),
        Err(error) => session_refused(&error, address),
    }
}

/// Verifies the session of a device, for a service of the brand that got it
#[utoipa::path(post, path = "/verify-session", operation_id = "verify-session", tag = "session-verification",
    request_body = GivenSession,
    responses(
        (status = OK, body = VerifiedDevice),
        (status = UNPROCESSABLE_ENTITY, description = "The session is not accepted", body = Problem),
    ))]
async fn verify_session(
    _: Verifier,
    State(service): State<Arc<Service>>,
    Extension(Peer(address)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let verify = async {
        let given: GivenSession = read_json(&service, &headers, body).await?;
        let session = root(&given.session).unwrap_or(&given.session);
        verified_session(&service, session.to_owned()).await
    };
    verification(verify.await, address)
}

/// Verifies a device by its serial and a nonce that it signed, for a service of the brand
#[utoipa::path(post, path = "/verify-device", operation_id = "verify-device", tag = "session-verification",
    request_body = SessionBody,
    responses(
        (status = OK, body = VerifiedDevice),
        (status = UNPROCESSABLE_ENTITY, description = "The device is not verified", body = Problem),
    ))]
async fn verify_device(
    _: Verifier,
    State(service): State<Arc<Service>>,
    Extension(Peer(address)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    verification(verified_device(&service, &headers, body).await, address)
}

async fn verified_device(
    service: &Arc<Service>,
    headers: &HeaderMap,
    body: Body,
) -> Result<VerifiedDevice, RequestError> {
    let body: SessionBody = read_json(service, headers, body).await?;
    in_thread(service, move |service, wait| {
        let request = SessionRequest {
            request: &body.device_session_request,
            serial: &body.serial_assertion,
            model: &body.model_assertion,
        };
        let live = service.live();
        service.sessions.verify_device(&live.registrar, request, wait)
    })
    .await
}

async fn verified_session(service: &Arc<Service>, session: String) -> Result<VerifiedDevice, RequestError> {
    in_thread(service, move |service, wait| {
        let live = service.live();
        service.sessions.verify_session(&live.registrar, &session, wait)
    })
    .await
}

/// Runs `work` in a thread that may block, in the order of arrival.
async fn in_thread<T: Send + 'static>(
    service: &Arc<Service>,
    work: impl FnOnce(&Service, &Wait) -> Result<T, SessionError> + Send + 'static,
) -> Result<T, RequestError> {
    let interrupted = |reason: String| RequestError::Interrupted { reason };
    let wait = service.waiting.begin()?;
    let permit = Arc::clone(&service.session_permits).acquire_owned().await;
    let permit = permit.map_err(|error| interrupted(error.to_string()))?;
    let wait = wait.with_permit(&service.session_permits, permit);
    let service = Arc::clone(service);
    match spawn_in_span(move || work(&service, &wait)).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(interrupted(error.to_string())),
    }
}

async fn read_json<T: DeserializeOwned>(
    service: &Service,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, RequestError> {
    let time = Duration::from_secs(service.limits.request_seconds.into());
    let body = read_limited(headers, body, service.limits.serial_body_bytes, time).await?;
    serde_json::from_slice(&body).map_err(|error| {
        let reason = error.to_string();
        SessionError::Body { reason }.into()
    })
}

/// The macaroon in the value of a header: `Macaroon root="…"`. Parameters after it are ignored.
fn root(value: &str) -> Option<&str> {
    let parameters = value.trim().strip_prefix("Macaroon ")?;
    let (_, rest) = parameters.split_once("root=\"")?;
    rest.split_once('"').map(|(root, _)| root)
}

/// The answer to a service of the brand. A refused device is not a refused token.
fn verification(verified: Result<VerifiedDevice, RequestError>, address: IpAddr) -> Response {
    match verified {
        Ok(device) => json(StatusCode::OK, &device),
        Err(error @ RequestError::Session(_)) => {
            log_refusal(&error, address);
            match status(&error) {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    refused_as(StatusCode::UNPROCESSABLE_ENTITY, &error)
                }
                other => refused_as(other, &error),
            }
        }
        Err(error) => refused(&error),
    }
}

/// The answer to a device that has no session, or may not have one.
fn session_refused(error: &RequestError, address: IpAddr) -> Response {
    log_refusal(error, address);
    let mut response = refused(error);
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, REFRESH);
    }
    response
}

fn log_refusal(error: &RequestError, address: IpAddr) {
    tracing::info!(%address, code = failure::code(error), "no session: {}", message(error));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_in_headers() {
        for (value, expected) in [
            (r#"Macaroon root="abc""#, Some("abc")),
            (r#"Macaroon root="abc", discharge="def""#, Some("abc")),
            (r#"Macaroon root="""#, Some("")),
            (r#"Macaroon root="abc"#, None),
            (r#"Macaroon abc"#, None),
            (r#"Bearer root="abc""#, None),
            ("", None),
        ] {
            assert_eq!(root(value), expected, "{value}");
        }
    }
}
