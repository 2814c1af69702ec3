//! Errors of requests by programs.

use std::fmt;
use std::time::Duration;

use failure::Diagnostic;
use thiserror::Error;

use crate::device_sessions::SessionError;
use crate::import::ImportError;
use crate::registration::RegistrationError;
use crate::secret::RandomError;
use crate::store::{CursorError, StoreError, WithdrawalError};

/// Why a request is refused.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum RequestError {
    #[error("the content type is {found}")]
    #[diagnostic(
        code("content-type"),
        help("Send assertions as application/x.ubuntu.assertion")
    )]
    ContentType { found: String },
    #[error("the body has more than {limit} bytes")]
    #[diagnostic(
        code("too-large"),
        help("Send less, or raise the limit in the settings of the model service")
    )]
    TooLarge { limit: u64 },
    #[error("the request ends too early: {reason}")]
    #[diagnostic(code("incomplete"), help("Send it again"))]
    Incomplete { reason: String },
    #[error("the body did not arrive within {seconds} s")]
    #[diagnostic(code("timeout"), help("Send it again"))]
    Timeout { seconds: u64 },
    #[error("too many requests came from this address")]
    #[diagnostic(
        code("rate-limit"),
        help("Wait a minute, or raise `requests-per-minute` in the settings of the model service")
    )]
    RateLimit,
    #[error("too many connections are open")]
    #[diagnostic(
        code("overloaded"),
        help(
            "Try again in a minute, or raise `connections` or `connections-per-address` in the settings of the model service"
        )
    )]
    Overloaded,
    #[error("the model service has no answer after {seconds} s")]
    #[diagnostic(
        code("answer-timeout"),
        help("Try again in a minute; the log of the model service may have the reason")
    )]
    AnswerTimeout { seconds: u64 },
    #[error("the token is missing or wrong")]
    #[diagnostic(
        code("unauthorized"),
        help(
            "Send the header `Authorization: Bearer TOKEN` with the content of `import-token-file` or of the file of a [[token]]"
        )
    )]
    Unauthorized,
    #[error("too many wrong tokens came from this address")]
    #[diagnostic(
        code("too-many-tokens"),
        help("Wait a minute, and correct the token of the program that sends a wrong one")
    )]
    TooManyTokens,
    #[error("the token {name:?} is not for the role {role}")]
    #[diagnostic(
        code("token-role"),
        help("Use another token, or change its `role` in the settings of the model service")
    )]
    Role { name: String, role: &'static str },
    #[error("the body is not a JSON object with a reason: {reason}")]
    #[diagnostic(code("json-invalid"), help("Send {{\"reason\": \"TEXT\"}}"))]
    Json { reason: String },
    #[error("the address is not valid: {reason}")]
    #[diagnostic(
        code("address-invalid"),
        help("Check its path and its parameters; /openapi.json describes them")
    )]
    Address { reason: String },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cursor(#[from] CursorError),
    #[error("no {what} has the number {number}")]
    #[diagnostic(
        code("number-unknown"),
        help("Look for it in the list; the log of registrations keeps the newest ones only")
    )]
    UnknownNumber { what: &'static str, number: i64 },
    #[error("no assertion was issued for the serial {serial:?} of the model {model}")]
    #[diagnostic(
        code("serial-not-issued"),
        help("Check brand, model and serial in the list of serials")
    )]
    UnknownSerial { model: String, serial: String },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Withdrawal(WithdrawalError),
    #[error("{limit} imports are running, and no more are accepted")]
    #[diagnostic(
        code("busy"),
        help("Try again in a minute, or raise `imports` in the settings of the model service")
    )]
    Busy { limit: u32 },
    #[error("nothing is at this address")]
    #[diagnostic(
        code("not-found"),
        help(
            "Set `device-service.url` to http://HOST:PORT/v1/; the page, imports and the API are at `operator-listen` if the settings of the model service have it"
        )
    )]
    NotFound,
    #[error("this address does not support the method {method}")]
    #[diagnostic(code("method"), help("Use a method that the header Allow lists"))]
    Method { method: String },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Registration(#[from] RegistrationError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Import(ImportError),
    #[error("the model service cannot use its database")]
    #[diagnostic(
        code("unavailable"),
        help("Try again later; the log of the model service has the reason")
    )]
    Store(StoreError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Random(#[from] RandomError),
    #[error("the model service did not finish the request")]
    #[diagnostic(
        code("request-interrupted"),
        help("Try again; the log of the model service has the reason")
    )]
    Interrupted { reason: String },
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Ledger(_) => Self::Registration(error.into()),
            other => Self::Store(other),
        }
    }
}

impl From<WithdrawalError> for RequestError {
    fn from(error: WithdrawalError) -> Self {
        match error {
            WithdrawalError::Store(error) => error.into(),
            other => Self::Withdrawal(other),
        }
    }
}

impl From<ImportError> for RequestError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Store(error) => error.into(),
            other => Self::Import(other),
        }
    }
}

impl RequestError {
    /// That of a body that did not arrive within `time`.
    pub(crate) fn late(time: Duration) -> Self {
        Self::Timeout {
            seconds: time.as_secs(),
        }
    }

    /// That of a body that ended with an error.
    pub(crate) fn incomplete(reason: impl fmt::Display) -> Self {
        Self::Incomplete {
            reason: reason.to_string(),
        }
    }

    /// The reason that the operator needs and the client does not get.
    pub(super) fn detail(&self) -> Option<&dyn fmt::Display> {
        match self {
            Self::Store(reason) => Some(reason),
            Self::Import(reason) => Some(reason),
            Self::Random(reason) => Some(reason),
            Self::Interrupted { reason } => Some(reason),
            Self::Registration(error) => error.detail(),
            Self::Session(error) => error.detail(),
            _ => None,
        }
    }
}
