//! Runs a program and writes down the peak memory of its largest process, in KiB: `peak-memory FILE PROGRAM ARGUMENTS`.
//!
//! A process inherits the peak of the one that starts it, so a figure is true only if that one is as small as this.

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
        .context("no file named; give FILE PROGRAM ARGUMENTS")?;
    let program = arguments
        .next()
        .context("no program named; give FILE PROGRAM ARGUMENTS")?;
    let status = Command::new(&program).args(arguments).status();
    let status = status.with_context(|| format!("cannot run {}; build it", program.display()))?;
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN)
        .context("cannot read the memory used")?
        .max_rss();
    fs::write(&file, peak.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(status)
}

/// The program's own exit code, or 128 and its signal, as shells have it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}
