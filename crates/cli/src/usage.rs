//! Wrong command lines.

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind;
use miette::Diagnostic;
use thiserror::Error;

use crate::error;

/// The command line does not match the usage.
#[derive(Debug, Error, Diagnostic)]
#[error("{0}")]
#[diagnostic(
    code("usage"),
    help("See `hardware-identity --help` and `hardware-identity COMMAND --help`")
)]
pub(crate) struct UsageError(String);

/// Prints what clap has to say: help and version on stdout, the usage on stderr before the error.
pub(crate) fn finish(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed stdout has read enough.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            return error::report(&UsageError("no command is given".to_owned()).into(), has_json());
        }
        _ => {}
    }
    let text = error.render().to_string();
    // The first paragraph is the cause, the others are tips and the usage.
    let (cause, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
    let rest = rest.split("For more information").next().unwrap_or_default();
    let _ = io::stderr().write_all(rest.as_bytes());
    let cause = cause.strip_prefix("error: ").unwrap_or(cause);
    let words: Vec<&str> = cause.split_whitespace().collect();
    error::report(&UsageError(words.join(" ")).into(), has_json())
}

/// Returns true if `--json` is among the arguments, which cannot be parsed.
fn has_json() -> bool {
    env::args_os()
        .take_while(|argument| argument != "--")
        .any(|argument| argument == "--json")
}
