//! What a device sends: the serial-request, the model, and on a remodel the old serial.

use snap_assertions::{Assertion, DecodeErrorKind, Decoder};

use crate::refusal::{Code, Refusal};

/// The assertions of a request.
pub(super) struct Stream {
    pub(super) request: Assertion,
    pub(super) model: Assertion,
    /// Of the model that the device had before.
    pub(super) old_serial: Option<Assertion>,
}

impl Stream {
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let (mut request, mut model, mut old_serial) = (None, None, None);
        for assertion in Decoder::new(body) {
            let assertion = assertion.map_err(|error| {
                let code = match error.kind {
                    DecodeErrorKind::Truncated(_) => Code::Incomplete,
                    _ => Code::Stream,
                };
                Refusal::new(code, format!("the request cannot be read: {error}"))
            })?;
            let kind = assertion.kind().name();
            let place = match kind {
                "serial-request" => &mut request,
                "model" => &mut model,
                "serial" => &mut old_serial,
                _ => return Err(content(&format!("it holds an assertion of the type {kind}"))),
            };
            if place.replace(assertion).is_some() {
                return Err(content(&format!("it holds more than one {kind}")));
            }
        }
        let missing = |kind: &str| content(&format!("it holds no {kind}"));
        Ok(Self {
            request: request.ok_or_else(|| missing("serial-request"))?,
            model: model.ok_or_else(|| missing("model"))?,
            old_serial,
        })
    }
}

fn content(problem: &str) -> Refusal {
    let expected = "Send one serial-request, one model and, on a remodel, the old serial";
    Refusal::new(
        Code::StreamContent,
        format!("the request does not hold what it should: {problem}. {expected}"),
    )
}
