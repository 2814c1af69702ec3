//! `POST /v1/hardware-identities`: the import by a program.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::poll_fn;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::body::{Pump, pump};
use super::device::check_content_type;
use super::refused;
use crate::import::{ImportError, Report};
use crate::refusal::{Code, Refusal};
use crate::service::Service;

/// Pieces of a report that wait for the network, of at least [`PIECE`] bytes each.
const QUEUE: usize = 4;
const PIECE: usize = 32 * 1024;

/// An import that goes on.
pub(crate) type Job = JoinHandle<Result<Report, ImportError>>;

pub(super) async fn import(State(service): State<Arc<Service>>, headers: HeaderMap, body: Body) -> Response {
    match run(service, &headers, body).await {
        Ok(report) => {
            let status = match report.counts.stored() {
                true => StatusCode::OK,
                false => StatusCode::UNPROCESSABLE_ENTITY,
            };
            (
                status,
                [(header::CONTENT_TYPE, "application/json")],
                stream(report),
            )
                .into_response()
        }
        Err(refusal) => refused(&refusal),
    }
}

async fn run(service: Arc<Service>, headers: &HeaderMap, body: Body) -> Result<Report, Refusal> {
    check_token(&service, headers)?;
    check_content_type(headers)?;
    let (pump, job) = begin(service)?;
    let filled = pump.fill(headers, body).await;
    let report = finished(job.await);
    // What kept the body from arriving says more than what the import made of it.
    filled.and(report)
}

/// Begins an import, if there are not too many: a pipe for the assertions, and the thread that takes them from it.
pub(crate) fn begin(service: Arc<Service>) -> Result<(Pump, Job), Refusal> {
    let turn = Arc::clone(&service.imports)
        .try_acquire_owned()
        .map_err(|_| {
            let message = format!(
                "other imports are running, and {} are taken at a time. Try again in a minute, or raise imports in the settings",
                service.limits.imports
            );
            Refusal::new(Code::Busy, message)
        })?;
    let pause = Duration::from_secs(service.limits.request_seconds.into());
    let (pump, input) = pump(service.limits.import_body_bytes, pause);
    // The thread keeps the turn: it works on where the client has gone away.
    let job = spawn_blocking(move || {
        let _turn = turn;
        service.importer.run(vec![input])
    });
    Ok((pump, job))
}

/// What an import gave, as an answer.
pub(crate) fn finished(ended: Result<Result<Report, ImportError>, JoinError>) -> Result<Report, Refusal> {
    let problem = match ended {
        Ok(Ok(report)) => return Ok(report),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!("an import failed: {problem}");
    let message = format!("nothing was imported: {problem}. Try again; the log says more");
    Err(Refusal::new(Code::Unavailable, message))
}

fn check_token(service: &Service, headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let token = given.and_then(|given| given.split_at_checked("Bearer ".len()));
    match token {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case(b"Bearer ") && service.import_token.is(token) =>
        {
            Ok(())
        }
        _ => Err(Refusal::new(
            Code::Unauthorized,
            "the import token is missing or wrong. Send `Authorization: Bearer …` with the token from import-token-file",
        )),
    }
}

/// The report as a body, which may be larger than the memory.
fn stream(report: Report) -> Body {
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
