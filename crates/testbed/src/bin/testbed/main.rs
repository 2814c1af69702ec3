//! The program `testbed`: the outside world of a device on the command line.

#![forbid(unsafe_code)]

mod device;
mod hook;
mod onboard;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Simulate the outside world of a device: its TPM, snapctl and snapd
#[derive(Debug, Parser)]
#[command(name = "testbed", version, after_long_help = HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Onboard(onboard::Arguments),
    Hook(hook::Arguments),
}

const HELP: &str = "\
Examples:
  Register a device with the hooks of an unpacked gadget snap:
    testbed onboard --gadget my-gadget --device-service-url http://127.0.0.1:8650/v1/

  Run one hook of it:
    testbed hook --gadget my-gadget configure

Environment:
  TCTI  The TPM of the hooks, as a TCTI string. If it is not set, the hooks get a software TPM (swtpm),
        unless --set gives hardware-identity.tcti

Exit status:
  0  success
  1  failure: the last line on stderr has the step, the cause and the advice
  2  wrong command line";

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
