//! The messages between the service and a process that signs: lines of JSON.

use failure::Diagnostic;
use serde::{Deserialize, Serialize};

use super::source::RemoteKeySource;

/// The first line that the process gets.
#[derive(Deserialize, Serialize)]
pub(super) struct Opening {
    pub(super) source: RemoteKeySource,
    /// The longest time for one signature by another program, in seconds.
    pub(super) seconds: u32,
    /// Signatures at a time.
    pub(super) threads: usize,
}

/// What to sign.
#[derive(Deserialize, Serialize)]
pub(super) struct Job {
    pub(super) number: u64,
    /// The creation time of the signature, in seconds since the epoch.
    pub(super) time: u32,
    /// In base64.
    pub(super) content: String,
}

/// What the process answers.
#[derive(Deserialize, Serialize)]
pub(super) enum Answer {
    Opened {
        /// As in the body of an account-key.
        public_key: String,
    },
    NotOpened(Failure),
    Signed {
        number: u64,
        /// As at the end of an assertion.
        signature: String,
    },
    NotSigned {
        number: u64,
        failure: Failure,
    },
}

/// An error of the process.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Failure {
    pub(super) code: String,
    pub(super) cause: String,
    pub(super) advice: String,
}

impl Failure {
    pub(super) fn new(error: &dyn Diagnostic) -> Self {
        Self {
            code: failure::code(error),
            cause: error.to_string(),
            advice: failure::advice(error),
        }
    }
}
