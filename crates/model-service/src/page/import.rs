//! Importing by upload.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest as _, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::session::Session;
use super::table::{foreign, outcome, table};
use super::{authorized, frame};
use crate::http::{begin, finished};
use crate::import::{Counts, Line, Outcome, Report};
use crate::refusal::{Code, Refusal};
use crate::service::Service;

const TITLE: &str = "Import";
/// Lines of a report that are shown, of those refused and of the others.
const SHOWN: usize = 200;

pub(super) async fn form(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    match authorized(&service, &headers) {
        Ok(session) => frame::page(&session, TITLE, &form_markup(&session)).into_response(),
        Err(response) => response,
    }
}

fn form_markup(session: &Session) -> Markup {
    html! {
        form.sheet method="post" action="/import" enctype="multipart/form-data" {
            // It has to come before the file, which is not read without it.
            (frame::csrf(session))
            label for="file" { "A file of signed hardware-identity assertions" }
            div.fields {
                input #file type="file" name="file" required;
                button { "Import" }
            }
            p.hint { "Either all of them are imported or, where one is refused, none." }
        }
    }
}

pub(super) async fn upload(State(service): State<Arc<Service>>, request: Request) -> Response {
    let session = match authorized(&service, request.headers()) {
        Ok(session) => session,
        Err(response) => return response,
    };
    let mut form = match Multipart::from_request(request, &()).await {
        Ok(form) => form,
        Err(rejection) => return frame::failed(&session, TITLE, rejection.status(), &rejection.body_text()),
    };
    match read_form(service, &session, &mut form).await {
        Ok(Some(report)) => show_report(&session, report).await,
        Ok(None) => frame::stale(),
        Err(refusal) => frame::failed(&session, TITLE, refusal.code.status(), &refusal.message),
    }
}

/// Imports the form's file; `None` for a form that is not this session's.
async fn read_form(
    service: Arc<Service>,
    session: &Session,
    form: &mut Multipart,
) -> Result<Option<Report>, Refusal> {
    let pause = Duration::from_secs(service.limits.request_seconds.into());
    let mut own = false;
    while let Some(field) = timeout(pause, form.next_field())
        .await
        .map_err(|_| late())?
        .map_err(broken)?
    {
        match field.name() {
            Some("csrf") => {
                let text = timeout(pause, read_short(field)).await.map_err(|_| late())??;
                own = session.accepts(&text);
            }
            Some("file") if own => return import(service, field).await.map(Some),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// A field that holds a token, and not whatever somebody sends in its place.
async fn read_short(mut field: Field<'_>) -> Result<String, Refusal> {
    let mut text = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(broken)? {
        text.extend_from_slice(&piece);
        if text.len() > 1024 {
            return Err(Refusal::new(
                Code::TooLarge,
                "The form is not one of this page. Load it again.",
            ));
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

async fn import(service: Arc<Service>, mut field: Field<'_>) -> Result<Report, Refusal> {
    let pause = Duration::from_secs(service.limits.request_seconds.into());
    let (mut pump, job) = begin(service)?;
    let filled = loop {
        match timeout(pause, field.chunk()).await {
            Ok(Ok(Some(piece))) => {
                if let Err(refusal) = pump.put(piece).await {
                    break Err(refusal);
                }
            }
            Ok(Ok(None)) => break Ok(()),
            Ok(Err(error)) => break Err(pump.fail(broken(error)).await),
            Err(_) => break Err(pump.fail(late()).await),
        }
    };
    drop(pump);
    let report = finished(job.await);
    filled.and(report)
}

fn broken(error: MultipartError) -> Refusal {
    Refusal::new(
        Code::Incomplete,
        format!(
            "Nothing was imported: the upload cannot be read: {}. Send it again.",
            error.body_text()
        ),
    )
}

fn late() -> Refusal {
    Refusal::new(
        Code::Timeout,
        "Nothing was imported: the upload stopped. Send it again.",
    )
}

async fn show_report(session: &Session, report: Report) -> Response {
    let counts = report.counts;
    let status = match counts.stored() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let chosen = spawn_blocking(move || choose(report)).await;
    match chosen.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(lines) => (
            status,
            frame::page(session, TITLE, &report_markup(session, &counts, &lines)),
        )
            .into_response(),
        Err(error) => {
            tracing::error!("a report cannot be read: {error}");
            let problem =
                "The import has ended, but its report cannot be read. Import the file again to see it.";
            frame::failed(session, TITLE, StatusCode::SERVICE_UNAVAILABLE, problem)
        }
    }
}

/// The lines to show: those refused first.
fn choose(report: Report) -> std::io::Result<Vec<Line>> {
    let (mut refused, mut others) = (Vec::new(), Vec::new());
    for line in report.lines() {
        let line = line?;
        let list = if line.outcome == Outcome::Refused {
            &mut refused
        } else {
            &mut others
        };
        if list.len() < SHOWN {
            list.push(line);
        }
    }
    refused.extend(others);
    Ok(refused)
}

fn report_markup(session: &Session, counts: &Counts, lines: &[Line]) -> Markup {
    let all = counts.new + counts.replaced + counts.present + counts.older + counts.refused;
    html! {
        @if all == 0 {
            (frame::problem("The file holds no assertion."))
        } @else if counts.stored() {
            p.message.good role="status" { "Imported." }
        } @else {
            (frame::problem(&format!("Nothing was imported: {} of {all} were refused.", counts.refused)))
        }
        dl {
            @for (name, count) in [
                ("New", counts.new),
                ("Replaced an older revision", counts.replaced),
                ("Already there", counts.present),
                ("Older than what is there", counts.older),
                ("Refused", counts.refused),
            ] {
                div { dt { (name) } dd { (count) } }
            }
        }
        @if !lines.is_empty() {
            (table(["No.", "Hardware id", "Outcome"], lines.iter().map(cells)))
        }
        @if lines.len() as u64 != all {
            p.hint { "The first " (SHOWN) " of those refused and of the others are shown." }
        }
        h2 { "Another file" }
        (form_markup(session))
    }
}

fn cells(line: &Line) -> [Markup; 3] {
    let good = line.outcome != Outcome::Refused;
    [
        html! { (line.number) },
        foreign(line.hardware_id.as_deref().unwrap_or("–")),
        outcome(good, line.outcome.name(), line.reason.as_deref()),
    ]
}
