//! The import of an uploaded file, and the earlier imports.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest as _, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures_util::TryStreamExt as _;
use maud::{Markup, html};
use pages::table;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::cells::{count, foreign, outcome};
use super::error::PageError;
use super::fields::Fields;
use super::filter::Filter;
use super::session::Session;
use super::state::Page;
use super::{frame, imports, list};
use crate::http::{RequestError, import_result, log_detail, start_import, status};
use crate::import::{ImportCounts, ImportOutcome, ImportReport, ReportLine};
use crate::service::Service;
use crate::store::ImportOrigin;

const TITLE: &str = "Import";
/// The most lines that are shown of the refused assertions, and of the others.
const SHOWN: usize = 50;
/// The longest field with a token, in bytes.
const MAX_TOKEN: usize = 1024;

/// The form, and the earlier imports.
pub(super) async fn show(
    session: Session,
    State(page): State<Arc<Page>>,
    Fields(filter): Fields<Filter>,
) -> Response {
    let content = imports::list(&page, &filter).await;
    let content = content.map(|imports| html! { (form_markup(&session)) (imports) });
    list::respond(&session, TITLE, content)
}

fn form_markup(session: &Session) -> Markup {
    html! {
        form.sheet method="post" action="/import" enctype="multipart/form-data" {
            // It must come before the file, which is not read without it.
            (frame::csrf(session))
            label for="file" { "A file of signed hardware-identity assertions" }
            div.field {
                input #file type="file" name="file" required;
                button { "Import" }
            }
            p.hint { "If one of them is refused, none is imported." }
        }
    }
}

pub(super) async fn upload(session: Session, State(page): State<Arc<Page>>, request: Request) -> Response {
    let mut form = match Multipart::from_request(request, &()).await {
        Ok(form) => form,
        Err(rejection) => {
            let status = rejection.status();
            return frame::failed(&session, TITLE, status, &PageError::InvalidForm(rejection));
        }
    };
    match read_form(Arc::clone(&page.service), &session, &mut form).await {
        Ok(Some(report)) => show_report(&session, report).await,
        Ok(None) => frame::stale(),
        Err(error) => {
            log_detail(&error);
            frame::failed(&session, TITLE, status(&error), &error)
        }
    }
}

/// Imports the file in the form; `None` for a form that does not belong to this session.
async fn read_form(
    service: Arc<Service>,
    session: &Session,
    form: &mut Multipart,
) -> Result<Option<ImportReport>, RequestError> {
    let pause = Duration::from_secs(service.limits.request_seconds.into());
    let mut own = false;
    while let Some(field) = timeout(pause, form.next_field())
        .await
        .map_err(|_| RequestError::late(pause))?
        .map_err(incomplete)?
    {
        match field.name() {
            Some("csrf") => {
                let token = timeout(pause, read_token(field))
                    .await
                    .map_err(|_| RequestError::late(pause))??;
                own = session.accepts(&token);
            }
            Some("file") if own => return import(service, field).await.map(Some),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// The beginning of a field, as long as a token can be.
async fn read_token(mut field: Field<'_>) -> Result<String, RequestError> {
    let mut token = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(incomplete)? {
        token.extend_from_slice(&piece);
        if token.len() > MAX_TOKEN {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&token).into_owned())
}

async fn import(service: Arc<Service>, field: Field<'_>) -> Result<ImportReport, RequestError> {
    let origin = ImportOrigin::new("page".to_owned(), field.file_name().unwrap_or_default());
    let (writer, job) = start_import(service, origin)?;
    let written = writer.write_body(field.map_err(incomplete)).await;
    let report = import_result(job.await);
    written.and(report)
}

fn incomplete(error: MultipartError) -> RequestError {
    RequestError::incomplete(error.body_text())
}

async fn show_report(session: &Session, report: ImportReport) -> Response {
    let counts = report.counts;
    let status = match counts.stored() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let chosen = spawn_blocking(move || choose(report)).await;
    match chosen.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(lines) => {
            let content = report_markup(session, &counts, &lines);
            (status, frame::page(session, TITLE, &content)).into_response()
        }
        Err(error) => {
            tracing::error!("a report cannot be read: {error}");
            let status = StatusCode::SERVICE_UNAVAILABLE;
            frame::failed(session, TITLE, status, &PageError::ReportUnreadable)
        }
    }
}

/// The lines to show: the refused assertions first.
fn choose(report: ImportReport) -> std::io::Result<Vec<ReportLine>> {
    let (mut refused, mut others) = (Vec::new(), Vec::new());
    for line in report.lines() {
        let line = line?;
        let list = if line.outcome == ImportOutcome::Refused {
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

fn report_markup(session: &Session, counts: &ImportCounts, lines: &[ReportLine]) -> Markup {
    let total = counts.total();
    html! {
        @if total == 0 {
            (frame::problem(&PageError::EmptyImport))
        } @else if counts.stored() {
            p.message.good role="status" { "Imported." }
        } @else {
            (frame::problem(&PageError::ImportRefused { refused: counts.refused, total }))
        }
        dl.figures {
            @for (name, number) in [
                ("New", counts.new),
                ("Replaced an older revision", counts.replaced),
                ("Already imported", counts.present),
                ("Older than the stored one", counts.older),
                ("Refused", counts.refused),
            ] {
                div { dt { (name) } dd { (count(number)) } }
            }
        }
        @if !lines.is_empty() {
            (table(&html! { "Assertions in the file" }, ["Number", "Hardware id", "Outcome"], lines.iter().map(cells)))
        }
        @if lines.len() as u64 != total {
            p.hint { "The first " (SHOWN) " refused assertions and the first " (SHOWN) " others are shown." }
        }
        h2 { "Another file" }
        (form_markup(session))
    }
}

fn cells(line: &ReportLine) -> [Markup; 3] {
    let good = line.outcome != ImportOutcome::Refused;
    [
        html! { (line.number) },
        foreign(line.hardware_id.as_deref().unwrap_or("–")),
        outcome(good, line.outcome.name(), line.reason.as_deref()),
    ]
}
