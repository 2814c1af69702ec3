//! snapctl errors: cause and advice.

use std::io;
use std::process::ExitStatus;

use failure::Diagnostic;
use thiserror::Error;

use super::call::TIME_LIMIT;

/// Why a call of snapctl failed. The command has no values in it: headers may be secrets, and errors
/// go into logs.
#[derive(Debug, Error, Diagnostic)]
pub enum SnapctlError {
    /// The program cannot be started.
    #[error("cannot start `{command}`: {reason}")]
    #[diagnostic(
        code("snapctl-not-started"),
        help("Run this program as a hook or app of a snap, where snapd puts snapctl on PATH")
    )]
    NotStarted {
        /// The command.
        command: String,
        /// What the system said.
        reason: io::Error,
    },
    /// It exited with an error.
    #[error("`{command}` failed ({status}): {message}")]
    #[diagnostic(
        code("snapctl-failed"),
        help("Look at snapd's log: `journalctl -u snapd`")
    )]
    Failed {
        /// The command.
        command: String,
        /// Its exit status.
        status: ExitStatus,
        /// What it wrote to stderr.
        message: String,
    },
    /// It did not end in time.
    #[error("`{command}` did not end within {} s and was killed", TIME_LIMIT.as_secs())]
    #[diagnostic(
        code("snapctl-timeout"),
        help("Look at snapd's log: `journalctl -u snapd`")
    )]
    TimedOut {
        /// The command.
        command: String,
    },
    /// Its output is not what snapctl writes.
    #[error("unexpected output of `{command}`: {problem}")]
    #[diagnostic(
        code("snapctl-unexpected-output"),
        help("Check that the snapctl on PATH is snapd's")
    )]
    UnexpectedOutput {
        /// The command.
        command: String,
        /// What is wrong with the output.
        problem: String,
    },
}
