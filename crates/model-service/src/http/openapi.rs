//! The OpenAPI document, made from the routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Extension;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder, SecurityRequirement};

use super::status::Problem;

/// The scheme of the tokens.
const TOKEN: &str = "token";
/// The tags of operations that need a token.
const WITH_TOKEN: [&str; 8] = [
    "identities",
    "registrations",
    "serials",
    "nonces",
    "imports",
    "models",
    "statistics",
    "session-verification",
];

/// The parts of the document that no route has.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "model-service", description = "Gives devices their serial assertions"),
    components(schemas(Problem)),
    tags(
        (name = "devices", description = "For snapd"),
        (name = "device-sessions", description = "Sessions, for snapd"),
        (name = "session-verification", description = "For other services of the brand"),
        (name = "identities", description = "Hardware identities and their import"),
        (name = "registrations", description = "The log of registrations"),
        (name = "serials", description = "Serials and their assertions"),
        (name = "nonces", description = "Request-ids"),
        (name = "imports", description = "Imports, each of which is a lot"),
        (name = "models", description = "Models in the settings"),
        (name = "statistics", description = "Counts"),
        (name = "state", description = "For supervisors and Prometheus"),
    )
)]
struct Base;

/// The document, as it is sent.
#[derive(Clone)]
pub(super) struct Document(Arc<str>);

/// This document
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "state",
    responses((status = OK, body = Object)))]
pub(super) async fn show(Extension(Document(text)): Extension<Document>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, text.to_string()).into_response()
}

/// Makes the document from those of the routes.
pub(super) fn document(routes: impl IntoIterator<Item = OpenApi>) -> Document {
    let mut document = Base::openapi();
    for other in routes {
        document.merge(other);
    }
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(bearer));
    let api_key = ApiKey::Header(ApiKeyValue::new("api-key"));
    components.add_security_scheme("api-key", SecurityScheme::ApiKey(api_key));
    let session = ApiKey::Header(ApiKeyValue::new("snap-device-authorization"));
    components.add_security_scheme("device-session", SecurityScheme::ApiKey(session));
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            complete(path, operation);
        }
    }
    Document(document.to_json().unwrap_or_default().into())
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        put,
        post,
        delete,
        options,
        head,
        patch,
        trace,
        ..
    } = item;
    [get, put, post, delete, options, head, patch, trace]
        .into_iter()
        .flatten()
}

/// Adds what holds for many routes: refusals, the token and the form of lists.
fn complete(path: &str, operation: &mut Operation) {
    let tags = operation.tags.clone().unwrap_or_default();
    let needs_token = tags.iter().any(|tag| WITH_TOKEN.contains(&tag.as_str()));
    if needs_token {
        operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(TOKEN, [])]);
    }
    // The addresses without /v1 are the same operations.
    if !needs_token && !path.starts_with("/v1/") && tags.iter().any(|tag| tag == "devices") {
        let id = operation.operation_id.take().unwrap_or_default();
        operation.operation_id = Some(format!("{id}-without-version"));
    }
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let has_parameters = !parameters.is_empty();
    let is_list = parameters
        .iter()
        .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "format"));
    let mut refusals = vec![(
        "503",
        "The service cannot do it now; `Retry-After` says when to try again",
    )];
    if !path.ends_with("/request-id") {
        refusals.push(("429", "Too many requests or wrong tokens of this address"));
    }
    if needs_token {
        refusals.push(("401", "`unauthorized`: the token is missing or wrong"));
        refusals.push(("403", "`token-role`: the token has another role"));
    }
    if has_parameters || operation.request_body.is_some() {
        refusals.push(("400", "The address or the body is not valid"));
    }
    if operation.request_body.is_some() {
        refusals.push(("408", "`timeout`: the body did not arrive in time"));
        refusals.push(("413", "`too-large`: the body is too large"));
    }
    let responses = &mut operation.responses.responses;
    for (status, description) in refusals {
        responses
            .entry(status.to_owned())
            .or_insert_with(|| refusal(description));
    }
    if is_list && let Some(RefOr::T(success)) = responses.get_mut("200") {
        success.content.insert("text/csv".to_owned(), RefOr::T(text()));
    }
    describe_all(responses);
}

fn refusal(description: &str) -> RefOr<utoipa::openapi::Response> {
    let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/json", content);
    RefOr::T(response.build())
}

fn text() -> Content {
    let schema = Schema::Object(ObjectBuilder::new().schema_type(Type::String).build());
    ContentBuilder::new().schema(Some(schema)).build()
}

/// Each response has a description.
fn describe_all(responses: &mut BTreeMap<String, RefOr<utoipa::openapi::Response>>) {
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description = if status == "200" { "Done" } else { "Refused" }.to_owned();
        }
    }
}
