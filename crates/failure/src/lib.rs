//! How the programs of this project report a failure.
//!
//! Every error type derives [`thiserror::Error`](https://docs.rs/thiserror) for the cause and
//! [`Diagnostic`] for the stable code and the advice. This crate makes of those three values what a
//! program prints, and holds the exit statuses that all programs share.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::process::ExitCode;

pub use miette::Diagnostic;
use serde_json::{Value, json};

/// The code of an error that has none. The test of the list of codes finds error types without a code.
const NO_CODE: &str = "internal";

/// The exit statuses of the programs for people and scripts. Hooks only know success and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 1: the input, a file or a setting was refused, or a check found errors.
    BadInput = 1,
    /// 2: the command line is wrong.
    Usage = 2,
    /// 3: the device failed: its TPM, an HSM or key manager, the record, or snapd.
    Device = 3,
    /// 4: a network address or another service failed.
    Service = 4,
    /// 5: the machine or the program itself failed: no threads, no random numbers.
    Internal = 5,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        ExitCode::from(status as u8)
    }
}

/// The stable code of an error, in kebab-case.
pub fn code(error: &dyn Diagnostic) -> String {
    error
        .code()
        .map_or_else(|| NO_CODE.to_owned(), |code| code.to_string())
}

/// What to do next: a command or a setting. Empty if the error has no advice.
pub fn advice(error: &dyn Diagnostic) -> String {
    error.help().map(|help| help.to_string()).unwrap_or_default()
}

/// The error on one line: `CAUSE. ADVICE. [CODE]`.
pub fn line(error: &dyn Diagnostic) -> String {
    let sentences = match error.help() {
        Some(advice) => format!("{error}. {advice}."),
        None => format!("{error}."),
    };
    // A value in a message can hold whatever the input held.
    format!("{} [{}]", sentences.replace(char::is_control, " "), code(error))
}

/// The error as a JSON object with `code`, `cause` and `advice`, all strings.
pub fn json(error: &dyn Diagnostic) -> Value {
    json!({ "code": code(error), "cause": error.to_string(), "advice": advice(error) })
}

/// Prints the error on stderr as `PROGRAM: CAUSE. ADVICE. [CODE]`.
///
/// snapd shows the last lines that a failed hook printed, and nothing else.
pub fn report(program: &str, error: &dyn Diagnostic) {
    print(&format!("{program}: {}", line(error)));
}

/// Prints a warning on stderr as `PROGRAM: warning: CAUSE. ADVICE. [CODE]`; the work went on.
pub fn warn(program: &str, warning: &dyn Diagnostic) {
    print(&format!("{program}: warning: {}", line(warning)));
}

fn print(line: &str) {
    // `eprintln!` panics if nobody reads stderr any more.
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error, Diagnostic)]
    enum Failure {
        #[error("no file {0}")]
        #[diagnostic(code("no-file"), help("make {0}"))]
        NoFile(&'static str),
        #[error("lost")]
        Bare,
    }

    #[test]
    fn a_line_has_cause_advice_and_code() {
        assert_eq!(line(&Failure::NoFile("a\nb")), "no file a b. make a b. [no-file]");
        assert_eq!(line(&Failure::Bare), "lost. [internal]");
    }

    #[test]
    fn json_has_the_three_values_apart() {
        let object = json!({"code": "no-file", "cause": "no file a", "advice": "make a"});
        assert_eq!(super::json(&Failure::NoFile("a")), object);
        assert_eq!(super::json(&Failure::Bare)["advice"], "");
    }
}
