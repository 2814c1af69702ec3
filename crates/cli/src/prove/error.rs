//! Errors of a visit at a station: cause and advice.

use std::fmt::Display;
use std::io;

use failure::Status;
use miette::Diagnostic;
use thiserror::Error;

use crate::exchange::RemoteProblem;
use crate::pin::Pin;
use crate::token::TokenError;

/// Why a device is not proven.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ProveFailure {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Token(#[from] TokenError),
    #[error("the station refused the device: {0}")]
    #[diagnostic(forward(0))]
    Refused(RemoteProblem),
    #[error("the station cannot answer: {0}")]
    #[diagnostic(forward(0))]
    NotServed(RemoteProblem),
    #[error("cannot reach the station {station}: {reason}")]
    #[diagnostic(
        code("station-unreachable"),
        help("Check --station and the network, and that the station runs; --wait tries again")
    )]
    Unreachable { station: String, reason: String },
    #[error("the station {station} did not answer within {seconds} s")]
    #[diagnostic(
        code("station-too-slow"),
        help("Look at the lines of the station on stderr; --wait tries again")
    )]
    TooSlow { station: String, seconds: u64 },
    #[error("the station {station} has another key, with the pin {found}")]
    #[diagnostic(
        code("station-pin-differs"),
        help("Compare --pin with the line that `hardware-identity station serve` prints")
    )]
    Pin { station: String, found: Pin },
    #[error("the response is not that of a station: {0}")]
    #[diagnostic(
        code("station-response-invalid"),
        help(
            "Check that --station is the address of a station, and that both programs have the same version"
        )
    )]
    Invalid(String),
    #[error("the station ended the conversation")]
    #[diagnostic(
        code("station-ended"),
        help(
            "Start this command with `hardware-identity station pipe`, whose last line on stderr says more"
        )
    )]
    Ended,
    #[error("cannot talk to the station: {0}")]
    #[diagnostic(
        code("station-pipe-broken"),
        help("Start this command with `hardware-identity station pipe`")
    )]
    Broken(io::Error),
    #[error("cannot start a connection: {0}")]
    #[diagnostic(
        code("connection-not-started"),
        help("Check the limits of this user on threads and open files")
    )]
    NotStarted(io::Error),
}

impl ProveFailure {
    pub(super) fn invalid(reason: impl Display) -> Self {
        ProveFailure::Invalid(reason.to_string())
    }

    pub(crate) fn status(&self) -> Status {
        match self {
            ProveFailure::Token(_) | ProveFailure::Refused(_) => Status::BadInput,
            ProveFailure::NotStarted(_) => Status::Internal,
            _ => Status::Service,
        }
    }

    /// Returns true if another attempt may succeed.
    pub(super) fn is_transient(&self) -> bool {
        matches!(
            self,
            ProveFailure::Unreachable { .. } | ProveFailure::TooSlow { .. } | ProveFailure::NotServed(_)
        )
    }
}
