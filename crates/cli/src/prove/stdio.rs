//! A station at the other end of stdin and stdout.

use std::io::{self, Stdout};

use super::StationLink;
use super::error::ProveFailure;
use crate::exchange::{DeviceRequest, LARGEST_RESPONSE, LONGEST_RESULT, RemoteProblem};
use crate::lines::{LineError, MessageLines};

/// The station.
pub(super) struct StationPipe(MessageLines<Stdout>);

impl StationPipe {
    pub(super) fn new() -> Result<Self, ProveFailure> {
        let lines = MessageLines::new(io::stdin(), io::stdout(), LARGEST_RESPONSE);
        lines.map(StationPipe).map_err(ProveFailure::NotStarted)
    }
}

impl StationLink for StationPipe {
    fn send(&mut self, request: &DeviceRequest) -> Result<Vec<u8>, ProveFailure> {
        self.0.send(&request.to_json()).map_err(ProveFailure::Broken)?;
        let line = self.0.receive(LONGEST_RESULT).map_err(|error| match error {
            LineError::Ended => ProveFailure::Ended,
            LineError::Late => ProveFailure::TooSlow {
                station: "at the other end of the pipe".to_owned(),
                seconds: LONGEST_RESULT.as_secs(),
            },
            LineError::Unreadable(reason) => ProveFailure::Broken(reason),
        })?;
        match RemoteProblem::read(&line) {
            Some(problem) => Err(ProveFailure::Refused(problem)),
            None => Ok(line),
        }
    }
}
