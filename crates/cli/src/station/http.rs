//! The addresses of a station.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use miette::Diagnostic;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::error::{DeviceRefusal, NoResult};
use super::failures::device_name;
use super::limits::{MOST_RESULTS, WrongTokens};
use super::line::{InLineStation, hardware_id_in};
use super::page;
use super::summary::LotSummary;
use crate::error::PROGRAM;
use crate::exchange::{ANSWER_PATH, CHALLENGE_PATH, DeviceRequest, LARGEST_REQUEST};
use crate::token::Token;

/// The time for the body of a request.
const BODY: Duration = Duration::from_secs(30);
/// The most bytes of a body that is refused. It is read, as a device that is still sending would lose
/// the response otherwise (RFC 9112 section 9.6).
const MOST_DROPPED: usize = 8 << 20;

/// Why a request is refused before its content is read.
#[derive(Debug, Error, Diagnostic)]
enum RequestProblem {
    #[error("the token is missing or wrong")]
    #[diagnostic(
        code("station-token-wrong"),
        help("Give device and station files with the same token")
    )]
    Token,
    #[error("too many wrong tokens wait for a response")]
    #[diagnostic(
        code("station-tokens-wrong"),
        help("Find out which program sends wrong tokens to the station")
    )]
    Tokens,
    #[error("the request has more than {LARGEST_REQUEST} bytes")]
    #[diagnostic(
        code("station-request-too-large"),
        help("Check that the device sends its own export and evidence")
    )]
    TooLarge,
    #[error("the request did not arrive within {} s", BODY.as_secs())]
    #[diagnostic(
        code("station-request-too-slow"),
        help("Check the network between the device and the station, and try again")
    )]
    TooSlow,
    #[error("the request ends too early: {0}")]
    #[diagnostic(code("station-request-incomplete"), help("Check the network, and try again"))]
    Incomplete(axum::Error),
    #[error("the station has no page")]
    #[diagnostic(
        code("station-without-page"),
        help(
            "Start the station with --page-password-file, or run `hardware-identity station lot` beside it"
        )
    )]
    NoPage,
    #[error("nothing is at this address")]
    #[diagnostic(
        code("station-address-unknown"),
        help("Send POST to /v1/challenge or /v1/answer, or open / in a browser")
    )]
    Unknown,
    #[error("this address does not support the method {0}")]
    #[diagnostic(
        code("station-method-unsupported"),
        help("Send POST to /v1/challenge or /v1/answer, or open / in a browser")
    )]
    Method(Method),
    #[error("the station did not finish the request")]
    #[diagnostic(
        code("station-interrupted"),
        help("Try again; the lines of the station on stderr may say more")
    )]
    Interrupted,
}

impl RequestProblem {
    fn status(&self) -> StatusCode {
        match self {
            RequestProblem::Token => StatusCode::UNAUTHORIZED,
            RequestProblem::Tokens => StatusCode::TOO_MANY_REQUESTS,
            RequestProblem::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            RequestProblem::TooSlow => StatusCode::REQUEST_TIMEOUT,
            RequestProblem::Incomplete(_) => StatusCode::BAD_REQUEST,
            RequestProblem::NoPage | RequestProblem::Unknown => StatusCode::NOT_FOUND,
            RequestProblem::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            RequestProblem::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for RequestProblem {
    fn into_response(self) -> Response {
        problem(self.status(), &self)
    }
}

/// A response with the code, the cause and the advice of an error.
fn problem(status: StatusCode, error: &dyn Diagnostic) -> Response {
    json(status, failure::json(error).to_string())
}

fn json(status: StatusCode, json: String) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, content_type)], json).into_response()
}

/// What the addresses share.
pub(super) struct StationService {
    station: InLineStation,
    token: Token,
    /// The password of the page, if there is one.
    password: Option<Token>,
    wrong_tokens: WrongTokens,
    /// The results that may be made.
    results: Arc<Semaphore>,
}

impl StationService {
    pub(super) fn new(station: InLineStation, token: Token, password: Option<Token>) -> Self {
        StationService {
            station,
            token,
            password,
            wrong_tokens: WrongTokens::new(),
            results: Arc::new(Semaphore::new(MOST_RESULTS)),
        }
    }

    /// Refuses a wrong token, after a while.
    async fn check(&self, token: &Token, given: Option<Vec<u8>>) -> Result<(), RequestProblem> {
        if given.is_some_and(|given| token.matches(&given)) {
            return Ok(());
        }
        match self.wrong_tokens.slow_down().await {
            true => Err(RequestProblem::Token),
            false => Err(RequestProblem::Tokens),
        }
    }
}

pub(super) fn router(service: Arc<StationService>) -> Router {
    Router::new()
        .route(CHALLENGE_PATH, post(challenge))
        .route(ANSWER_PATH, post(answer))
        .route("/", get(show_lot))
        .route("/style.css", get(page::style))
        .fallback(async || RequestProblem::Unknown)
        .method_not_allowed_fallback(async |method: Method| RequestProblem::Method(method))
        .with_state(service)
}

async fn challenge(service: State<Arc<StationService>>, headers: HeaderMap, body: Body) -> Response {
    respond(service, &headers, body, false).await
}

async fn answer(service: State<Arc<StationService>>, headers: HeaderMap, body: Body) -> Response {
    respond(service, &headers, body, true).await
}

async fn respond(
    State(service): State<Arc<StationService>>,
    headers: &HeaderMap,
    body: Body,
    has_answer: bool,
) -> Response {
    // Read in any case, so that the response arrives.
    let body = timeout(BODY, read(body))
        .await
        .unwrap_or(Err(RequestProblem::TooSlow));
    if let Err(problem) = service.check(&service.token, bearer_token(headers)).await {
        return problem.into_response();
    }
    let body = match body {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    // A result can wait for a signature, and must not keep the threads from other requests.
    let turn = match has_answer {
        true => Arc::clone(&service.results).acquire_owned().await.ok(),
        false => None,
    };
    let responded = spawn_blocking(move || {
        let _turn = turn;
        respond_to(&service.station, &body, has_answer)
    });
    match responded.await {
        Ok(Ok(response)) => json(StatusCode::OK, response),
        Ok(Err(NoResult::Refused(refusal))) => problem(StatusCode::UNPROCESSABLE_ENTITY, &refusal),
        Ok(Err(NoResult::Failed(error))) => {
            failure::report(PROGRAM, &*error);
            problem(StatusCode::SERVICE_UNAVAILABLE, &*error)
        }
        Err(_) => RequestProblem::Interrupted.into_response(),
    }
}

/// Responds to a device, and reports a refusal.
fn respond_to(station: &InLineStation, body: &[u8], has_answer: bool) -> Result<String, NoResult> {
    let mut hardware_id = String::new();
    let responded = read_request(body, has_answer)
        .map_err(NoResult::from)
        .and_then(|request| {
            hardware_id = hardware_id_in(&request.export);
            station.respond(&request)
        });
    if let Err(NoResult::Refused(refusal)) = &responded {
        failure::report(&device_name(&hardware_id), refusal);
    }
    responded.map(|response| response.to_json())
}

fn read_request(body: &[u8], has_answer: bool) -> Result<DeviceRequest, DeviceRefusal> {
    let malformed = |reason: String| DeviceRefusal::Malformed(reason);
    let request: DeviceRequest =
        serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
    match request.answer.is_some() == has_answer {
        true => Ok(request),
        false if has_answer => Err(malformed("the member answer is missing".to_owned())),
        false => Err(malformed(format!("an answer belongs to {ANSWER_PATH}"))),
    }
}

async fn read(mut body: Body) -> Result<Vec<u8>, RequestProblem> {
    let (mut whole, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(RequestProblem::Incomplete)?.into_data() else {
            continue;
        };
        length += piece.len();
        if length > MOST_DROPPED {
            break;
        }
        match length <= LARGEST_REQUEST {
            true => whole.extend_from_slice(&piece),
            false => whole = Vec::new(),
        }
    }
    match length <= LARGEST_REQUEST {
        true => Ok(whole),
        false => Err(RequestProblem::TooLarge),
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<Vec<u8>> {
    credentials(headers, "Bearer ").map(<[u8]>::to_vec)
}

/// The password, whatever the user name is.
fn password(headers: &HeaderMap) -> Option<Vec<u8>> {
    let pair = STANDARD.decode(credentials(headers, "Basic ")?).ok()?;
    let colon = pair.iter().position(|&byte| byte == b':')?;
    pair.get(colon + 1..).map(<[u8]>::to_vec)
}

fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a [u8]> {
    let given = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (found, credentials) = given.split_at_checked(scheme.len())?;
    found
        .eq_ignore_ascii_case(scheme.as_bytes())
        .then_some(credentials)
}

async fn show_lot(State(service): State<Arc<StationService>>, headers: HeaderMap) -> Response {
    let Some(expected) = &service.password else {
        return RequestProblem::NoPage.into_response();
    };
    // A browser asks for the page without a password first.
    if !headers.contains_key(header::AUTHORIZATION) {
        return page::ask_for_password();
    }
    if service.check(expected, password(&headers)).await.is_err() {
        return page::ask_for_password();
    }
    let read = spawn_blocking(move || LotSummary::read(service.station.directory()));
    match read.await {
        Ok(Ok(summary)) => page::lot(&summary),
        Ok(Err(error)) => problem(StatusCode::SERVICE_UNAVAILABLE, &error),
        Err(_) => RequestProblem::Interrupted.into_response(),
    }
}
