//! `testbed`: the outside world on the command line.

#![forbid(unsafe_code)]

mod device;
mod hook;
mod onboard;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Plays what is around a device: its TPM, snapctl, and snapd.
#[derive(Debug, Parser)]
#[command(name = "testbed", version, after_long_help = FURTHER)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Onboard(onboard::Arguments),
    Hook(hook::Arguments),
}

const FURTHER: &str = "\
Environment:
  TCTI  the way to a TPM for the hooks. Without it they get a software TPM (swtpm), unless --set gives
        hardware-identity.tcti

Exit status:
  0  done
  1  failed: the last line on stderr says at which step, what happened and what to do
  2  the command line is wrong";

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Onboard(arguments) => onboard::run(arguments),
        Command::Hook(arguments) => hook::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = format!("{error:#}").replace('\n', " ");
            eprintln!("testbed: {}.", line.trim_end_matches('.'));
            ExitCode::FAILURE
        }
    }
}
