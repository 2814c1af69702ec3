//! The assertions that a device sends: serial-request, model and, on a remodel, the old serial.

use failure::Diagnostic;
use snap_assertions::{Assertion, DecodeError, DecodeErrorKind, Decoder};
use thiserror::Error;

/// Why the assertions of a request cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum StreamError {
    #[error("the request ends too early: {0}")]
    #[diagnostic(code("incomplete"), help("Send it again"))]
    Incomplete(DecodeError),
    #[error("the request is not a stream of assertions: {0}")]
    #[diagnostic(code("stream"), help("Check the program that made the request"))]
    Invalid(DecodeError),
    #[error("the request has no {kind}")]
    #[diagnostic(
        code("stream-content"),
        help("Send one serial-request, one model and, on a remodel, the old serial")
    )]
    Missing { kind: &'static str },
    #[error("the request has more than one {kind}")]
    #[diagnostic(
        code("stream-content"),
        help("Send one serial-request, one model and, on a remodel, the old serial")
    )]
    Duplicate { kind: String },
    #[error("the request has an assertion of type {kind}")]
    #[diagnostic(
        code("stream-content"),
        help("Send one serial-request, one model and, on a remodel, the old serial")
    )]
    OtherType { kind: String },
}

/// The assertions of a request.
pub(super) struct Stream {
    pub(super) request: Assertion,
    pub(super) model: Assertion,
    /// The serial of the model that the device had before.
    pub(super) old_serial: Option<Assertion>,
}

impl Stream {
    pub(super) fn read(body: &[u8]) -> Result<Self, StreamError> {
        let (mut request, mut model, mut old_serial) = (None, None, None);
        for assertion in Decoder::new(body) {
            let assertion = assertion.map_err(|error| match error.kind {
                DecodeErrorKind::Truncated(_) => StreamError::Incomplete(error),
                _ => StreamError::Invalid(error),
            })?;
            let kind = assertion.kind().name().to_string();
            let place = match kind.as_str() {
                "serial-request" => &mut request,
                "model" => &mut model,
                "serial" => &mut old_serial,
                _ => return Err(StreamError::OtherType { kind }),
            };
            if place.replace(assertion).is_some() {
                return Err(StreamError::Duplicate { kind });
            }
        }
        let missing = |kind| StreamError::Missing { kind };
        Ok(Self {
            request: request.ok_or(missing("serial-request"))?,
            model: model.ok_or(missing("model"))?,
            old_serial,
        })
    }
}
