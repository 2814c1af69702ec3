//! Session errors: why a device gets no session, or its session is not accepted.

use std::fmt;

use failure::Diagnostic;
use libmacaroon::MacaroonError;
use snap_assertions::{DecodeError, DeviceSessionError};
use thiserror::Error;

use crate::store::StoreError;
use crate::waiting::Transient;

/// Why a device gets no session, or its session is not accepted.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum SessionError {
    #[error("no model of this model service has sessions")]
    #[diagnostic(
        code("device-sessions-off"),
        help("Set `device-sessions = true` for the model in the settings of the model service")
    )]
    NoModel,
    #[error("the model {model} has no sessions")]
    #[diagnostic(
        code("device-sessions-off"),
        help("Set `device-sessions = true` for the model in the settings of the model service")
    )]
    Off { model: String },
    #[error("the body is not the JSON object of a request for a session: {reason}")]
    #[diagnostic(
        code("session-body"),
        help(
            "Send the JSON object that docs/model-service.md describes, with encoded assertions as strings"
        )
    )]
    Body { reason: String },
    #[error("{name} in the body is not an assertion: {reason}")]
    #[diagnostic(
        code("session-body"),
        help(
            "Send the JSON object that docs/model-service.md describes, with encoded assertions as strings"
        )
    )]
    Assertion { name: &'static str, reason: DecodeError },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Device(#[from] DeviceSessionError),
    #[error("the model {brand}/{model} is not known to this model service")]
    #[diagnostic(
        code("model-unknown"),
        help("Add the model to the settings of the model service, or correct device-service.url")
    )]
    ModelUnknown { brand: String, model: String },
    #[error("the nonce was not issued by this model service, or too long ago")]
    #[diagnostic(
        code("nonce-unknown"),
        help("Ask for a new one, as snapd does at its next attempt")
    )]
    NonceUnknown,
    #[error("the nonce has expired")]
    #[diagnostic(
        code("nonce-expired"),
        help("Ask for a new one, as snapd does at its next attempt")
    )]
    NonceExpired,
    #[error("the nonce was used before")]
    #[diagnostic(
        code("nonce-used"),
        help("Ask for a new one, as snapd does at its next attempt")
    )]
    NonceUsed,
    #[error("the serial {serial:?} was released, or issued again for another device key")]
    #[diagnostic(
        code("session-serial-replaced"),
        help("Register the device again to get a new serial")
    )]
    SerialReplaced { serial: String },
    #[error("the hardware identity of the device is blocked")]
    #[diagnostic(
        code("identity-blocked"),
        help("Ask the operator of the model service, who can lift it with `model-service identity unblock`")
    )]
    IdentityBlocked,
    #[error("the request has no session")]
    #[diagnostic(
        code("session-missing"),
        help("Send the header `Snap-Device-Authorization: Macaroon root=\"SESSION\"`")
    )]
    Missing,
    /// The code is the one that snapd knows from the store.
    #[error("the session has ended or is not valid")]
    #[diagnostic(
        code("device-authorization-needs-refresh"),
        help("Get a new session, as snapd does after this answer")
    )]
    NeedsRefresh,
    #[error("the model service cannot make a session")]
    #[diagnostic(
        code("session-not-made"),
        help("Check that the serial is short; the log of the model service has the reason")
    )]
    NotMade(MacaroonError),
    #[error("the model service cannot use its database")]
    #[diagnostic(
        code("unavailable"),
        help("Try again later; the log of the model service has the reason")
    )]
    Store(#[from] StoreError),
}

impl Transient for SessionError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

impl SessionError {
    /// The reason that the operator needs and the client does not get.
    pub(crate) fn detail(&self) -> Option<&dyn fmt::Display> {
        match self {
            Self::NotMade(reason) => Some(reason),
            Self::Store(reason) => Some(reason),
            _ => None,
        }
    }
}
