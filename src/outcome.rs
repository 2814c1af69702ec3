//! How a program ends.

use std::process::ExitCode;

/// Turns the outcome of a program into its exit status; a failure leaves one line on stderr, with the cause
/// and what to do. snapd shows what a failed hook printed last in place of everything else.
pub fn finish(program: &str, outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "{program}: {}.",
                format!("{error:#}").replace(char::is_control, " ")
            );
            ExitCode::FAILURE
        }
    }
}
