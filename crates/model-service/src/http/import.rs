//! `POST /v1/hardware-identities`: the import by a program.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::TryStreamExt as _;
use futures_util::stream::poll_fn;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use utoipa::IntoParams;

use super::authorization::authorize;
use super::body::{BodyWriter, body_pipe, check_content_length, check_content_type};
use super::error::RequestError;
use super::query::read_query;
use super::status::{Problem, refused};
use crate::import::{ImportError, ImportReport, ImportSummary};
use crate::service::Service;
use crate::settings::Role;
use crate::spawn::spawn_in_span;
use crate::store::ImportOrigin;

/// Pieces of a report that wait for the network, of at least [`PIECE`] bytes each.
const QUEUE: usize = 4;
const PIECE: usize = 32 * 1024;

/// The query of an import.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ImportQuery {
    /// The name of the file, for the list of imports
    #[serde(default)]
    name: String,
}

/// A running import.
pub(crate) type ImportJob = JoinHandle<Result<ImportReport, ImportError>>;

/// Imports hardware identities: all, or none if one is refused
///
/// The body is a stream of signed assertions.
#[utoipa::path(post, path = "/hardware-identities", operation_id = "import", tag = "identities",
    params(ImportQuery),
    request_body(content = String, content_type = "application/x.ubuntu.assertion"),
    responses(
        (status = OK, description = "All are stored", body = ImportSummary),
        (status = UNPROCESSABLE_ENTITY, description = "Some are refused, and nothing is stored", body = ImportSummary),
        (status = UNSUPPORTED_MEDIA_TYPE, description = "`content-type`", body = Problem),
    ))]
pub(super) async fn import(State(service): State<Arc<Service>>, request: Request) -> Response {
    let report = match run(service, request).await {
        Ok(report) => report,
        Err(error) => return refused(&error),
    };
    let status = match report.counts.stored() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, stream(report)).into_response()
}

async fn run(service: Arc<Service>, request: Request) -> Result<ImportReport, RequestError> {
    let (parts, body) = request.into_parts();
    let by = format!("token {}", authorize(&service, &parts, Role::Import)?);
    check_content_type(&parts.headers)?;
    let ImportQuery { name } = read_query(&parts.uri)?;
    check_content_length(&parts.headers, service.limits.import_body_bytes)?;
    let (writer, job) = start_import(service, ImportOrigin::new(by, &name))?;
    let pieces = body.into_data_stream().map_err(RequestError::incomplete);
    let written = writer.write_body(pieces).await;
    let report = import_result(job.await);
    // The error of the body is the cause of that of the import.
    written.and(report)
}

/// Starts an import if not too many are running. Returns a writer for the assertions, and
/// the job that reads them.
pub(crate) fn start_import(
    service: Arc<Service>,
    origin: ImportOrigin,
) -> Result<(BodyWriter, ImportJob), RequestError> {
    let limits = &service.limits;
    let permit = Arc::clone(&service.import_permits)
        .try_acquire_owned()
        .map_err(|_| RequestError::Busy {
            limit: limits.imports,
        })?;
    let pause = Duration::from_secs(limits.request_seconds.into());
    let (writer, input) = body_pipe(limits.import_body_bytes, pause);
    // The thread holds the permit: it goes on if the client has gone.
    let job = spawn_in_span(move || {
        let _permit = permit;
        let report = service.live().importer.run(vec![input], &origin);
        service.metrics.count_import(match &report {
            Ok(report) if report.counts.stored() => "stored",
            Ok(_) => "refused",
            Err(_) => "failed",
        });
        let report = report?;
        report.counts.log(&origin);
        Ok(report)
    });
    Ok((writer, job))
}

/// The result of an import job.
pub(crate) fn import_result(
    result: Result<Result<ImportReport, ImportError>, JoinError>,
) -> Result<ImportReport, RequestError> {
    match result {
        Ok(result) => Ok(result?),
        Err(error) => {
            tracing::error!("the thread of an import ended: {error}");
            Err(ImportError::Interrupted.into())
        }
    }
}

/// The report as a body, which may be larger than the memory.
fn stream(report: ImportReport) -> Body {
    let (pieces, mut queue) = mpsc::channel::<io::Result<Bytes>>(QUEUE);
    spawn_blocking(move || {
        let mut piece = String::new();
        for text in report.json() {
            match text {
                Ok(text) => piece.push_str(&text),
                Err(error) => {
                    let _ = pieces.blocking_send(Err(error));
                    return;
                }
            }
            if piece.len() >= PIECE
                && pieces
                    .blocking_send(Ok(std::mem::take(&mut piece).into()))
                    .is_err()
            {
                return;
            }
        }
        let _ = pieces.blocking_send(Ok(piece.into()));
    });
    Body::from_stream(poll_fn(move |context| queue.poll_recv(context)))
}
