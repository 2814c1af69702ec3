//! `peak-memory FILE PROGRAM [ARGUMENTS]`: runs a program and writes the peak memory of its largest
//! process, in KiB, to FILE.
//!
//! A process inherits the peak memory of its parent, so only a small parent can measure it.

#![forbid(unsafe_code)]

use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};

fn main() -> ExitCode {
    match measure() {
        Ok(status) => exit_code(status),
        Err(error) => {
            eprintln!("peak-memory: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<ExitStatus> {
    let mut arguments = env::args_os().skip(1);
    let file = arguments
        .next()
        .context("FILE is missing; give FILE PROGRAM ARGUMENTS")?;
    let program = arguments
        .next()
        .context("PROGRAM is missing; give FILE PROGRAM ARGUMENTS")?;
    let status = Command::new(&program).args(arguments).status();
    let status =
        status.with_context(|| format!("cannot run {}; build it or check the path", program.display()))?;
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN)
        .context("cannot read the peak memory")?
        .max_rss();
    fs::write(&file, peak.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(status)
}

/// The exit code of the program, or 128 plus its signal, as in shells.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}
