//! What a device and a station in line say to each other, over HTTP and over pipes: the messages of
//! the proof, and what belongs to them.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// The addresses of the station.
pub(crate) const CHALLENGE_PATH: &str = "/v1/challenge";
pub(crate) const ANSWER_PATH: &str = "/v1/answer";
/// The largest request in bytes: an export with all headers that an assertion can have, evidence and
/// an answer.
pub(crate) const LARGEST_REQUEST: usize = 384 * 1024;
/// The largest response in bytes.
pub(crate) const LARGEST_RESPONSE: usize = 64 * 1024;
/// The longest time for a result. A person may have to type a PIN for its signature.
pub(crate) const LONGEST_RESULT: Duration = Duration::from_secs(10 * 60);
/// The longest code of a problem.
const LONGEST_CODE: usize = 64;

/// What a device sends: with an answer it asks for the result, without one for a challenge.
///
/// The station keeps nothing between the two, so the answer comes with the export and the evidence.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceRequest {
    pub(crate) export: Box<RawValue>,
    pub(crate) evidence: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<Box<RawValue>>,
}

impl DeviceRequest {
    /// A request for a challenge, of JSON documents.
    pub(crate) fn new(export: &str, evidence: &str) -> serde_json::Result<Self> {
        Ok(DeviceRequest {
            export: on_one_line(export)?,
            evidence: on_one_line(evidence)?,
            answer: None,
        })
    }

    /// The request for the result.
    pub(crate) fn answered(self, answer: &str) -> serde_json::Result<Self> {
        Ok(DeviceRequest {
            answer: Some(on_one_line(answer)?),
            ..self
        })
    }

    /// The request as JSON on one line, without a line feed.
    pub(crate) fn to_json(&self) -> String {
        // Checked JSON can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The same JSON without line feeds, as a message on a pipe is a line.
pub(crate) fn on_one_line(json: &str) -> serde_json::Result<Box<RawValue>> {
    let value: Value = serde_json::from_str(json)?;
    RawValue::from_string(value.to_string())
}

/// What the station has done with a proven device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LotOutcome {
    /// Its assertion is in the output of the station.
    Signed,
    /// Its files are in the directory for a later `sign`.
    Collected,
}

impl fmt::Display for LotOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            LotOutcome::Signed => "signed",
            LotOutcome::Collected => "collected",
        })
    }
}

/// The result of a proven device. A device that comes again gets the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct DeviceResult {
    pub(crate) result: LotOutcome,
    pub(crate) hardware_id: String,
    pub(crate) batch: String,
    /// When the device was proven: RFC 3339.
    pub(crate) time: String,
}

impl DeviceResult {
    /// The result for people, or as JSON; on one line.
    pub(crate) fn line(&self, json: bool) -> String {
        match json {
            // Strings can always be written.
            true => serde_json::to_string(self).unwrap_or_default() + "\n",
            false => format!(
                "{}: {} in the batch {}\n",
                self.hardware_id, self.result, self.batch
            ),
        }
    }
}

/// A failure at the other end: code, cause and advice, as [`failure::json`] writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoteProblem {
    code: String,
    cause: String,
    advice: String,
}

impl RemoteProblem {
    /// Reads the JSON of a problem; `None` if it is something else. Its code may have any origin.
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        let problem: RemoteProblem = serde_json::from_slice(json).ok()?;
        let is_code_character = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_code =
            (1..=LONGEST_CODE).contains(&problem.code.len()) && problem.code.bytes().all(is_code_character);
        is_code.then_some(problem)
    }
}

impl fmt::Display for RemoteProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl Error for RemoteProblem {}

impl Diagnostic for RemoteProblem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.advice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line() {
        let request = DeviceRequest::new("{\n\"a\": \"b\\n\"\n}", "{}").unwrap();
        let request = request.answered("\n{}\n").unwrap();
        let json = request.to_json();
        assert_eq!(json, r#"{"export":{"a":"b\n"},"evidence":{},"answer":{}}"#);
        let read: DeviceRequest = serde_json::from_str(&json).unwrap();
        assert_eq!(read.export.get(), r#"{"a":"b\n"}"#);
    }

    #[test]
    fn a_problem_has_a_code() {
        for (code, expected) in [
            ("answer-wrong", true),
            ("", false),
            ("a] [b", false),
            ("A", false),
        ] {
            let json = serde_json::json!({"code": code, "cause": "c", "advice": "a", "refused": 1});
            assert_eq!(
                RemoteProblem::read(json.to_string().as_bytes()).is_some(),
                expected,
                "{code}"
            );
        }
    }
}
