//! How a program ends.

use std::process::ExitCode;

/// snapd keeps 10 KiB of what a hook prints, from the end; a problem has a few hundred bytes.
const MOST: usize = 10;

/// Turns the outcome of a program into its exit status; a failure leaves one line on stderr, with the cause
/// and what to do. snapd shows what a failed hook printed last in place of everything else.
pub fn finish(program: &str, outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(program, &format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// As [`finish`] for a program that looks for problems: each has a line, up to ten.
pub fn finish_with(program: &str, problems: &[String]) -> ExitCode {
    for problem in problems.iter().take(MOST) {
        say(program, problem);
    }
    if let Some(more @ 1..) = problems.len().checked_sub(MOST) {
        say(
            program,
            &format!("{more} more like these. Correct the ones above first"),
        );
    }
    match problems.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn say(program: &str, problem: &str) {
    eprintln!("{program}: {}.", problem.replace(char::is_control, " "));
}
