//! The program `testbed`: the outside world of a device on the command line.

#![forbid(unsafe_code)]

mod device;
mod hook;
mod onboard;
mod session;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

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
    Session(session::Arguments),
    Hook(hook::Arguments),
    /// Print the completion script of a shell
    #[command(after_long_help = COMPLETIONS_EXAMPLE)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
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

const COMPLETIONS_EXAMPLE: &str = "\
Example:
  testbed completions bash >~/.local/share/bash-completion/completions/testbed";

fn print_completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "testbed", &mut script);
    Ok(io::stdout().write_all(&script)?)
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Onboard(arguments) => onboard::run(arguments),
        Command::Session(arguments) => session::run(arguments),
        Command::Hook(arguments) => hook::run(arguments),
        Command::Completions { shell } => print_completions(shell),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_man_pages_are_up_to_date() {
        let outdated = manual::outdated(Cli::command()).unwrap();
        assert!(outdated.is_empty(), "UPDATE_MAN=1 cargo test man: {outdated:?}");
    }
}
