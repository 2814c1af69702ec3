//! `hardware-identity`: the tool for the factory line, the issuer's station and authors of gadget snaps.

#![forbid(unsafe_code)]

mod activate;
mod check_gadget;
mod completions;
mod device;
mod error;
mod exchange;
mod export;
mod export_batch;
mod export_checks;
mod export_reader;
mod fingerprint;
mod issuer_key;
mod ledger;
mod lines;
mod lock;
mod output;
mod pin;
mod pipeline;
mod progress;
mod proof;
mod prove;
mod recorded_output;
mod show;
mod sign;
mod signals;
mod signed_output;
mod signing_key;
mod signing_rules;
mod station;
mod token;
mod usage;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use hardware_identity::tpm::silence_tss_log;

use crate::error::ToolError;

/// Hardware identities of Ubuntu Core devices: `export`, `activate`, `prove` and `show` on a device,
/// `challenge`, `sign`, `station`, `verify` and `ledger` at the issuer's station, `check-gadget` for authors
/// of gadget snaps.
#[derive(Debug, Parser)]
#[command(name = "hardware-identity", version, after_help = EXAMPLES, after_long_help = DETAILS)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print JSON on stdout: the results of show, prove, station, verify, ledger and check-gadget, and a
    /// failure as the last line
    #[arg(long, global = true)]
    json: bool,
}

impl Cli {
    /// Returns true if stdout leads to a station, which reads failures too.
    fn talks_on_stdout(&self) -> bool {
        matches!(&self.command, Command::Prove(arguments) if arguments.is_stdio())
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Export(export::ExportArguments),
    Activate(activate::ActivateArguments),
    Prove(prove::ProveArguments),
    Show(show::ShowArguments),
    Challenge(proof::ChallengeArguments),
    Sign(sign::SignArguments),
    Verify(verify::VerifyArguments),
    Ledger(ledger::LedgerArguments),
    Station(station::StationArguments),
    CheckGadget(check_gadget::Arguments),
    Completions(completions::CompletionsArguments),
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity show --check
  hardware-identity export --output device.json
  hardware-identity challenge --batch batch-7 --ek-roots tpm-roots/ --output-dir challenges exports/
  hardware-identity sign --key issuer.pem --output signed.assert exports/
  hardware-identity station lot --batch batch-7
  hardware-identity verify --issuer-key issuer.account-key signed.assert
  hardware-identity ledger verify station.jsonl
  hardware-identity check-gadget gadget_1.0_amd64.snap";

const DETAILS: &str = "\
Examples:
  hardware-identity show --check
  hardware-identity export --output device.json
  hardware-identity challenge --batch batch-7 --ek-roots tpm-roots/ --output-dir challenges exports/
  hardware-identity sign --key issuer.pem --output signed.assert exports/
  hardware-identity station lot --batch batch-7
  hardware-identity verify --issuer-key issuer.account-key signed.assert
  hardware-identity ledger verify station.jsonl
  hardware-identity check-gadget gadget_1.0_amd64.snap

Environment:
  TCTI            connection to the TPM, such as device:/dev/tpmrm0 or swtpm:host=127.0.0.1,port=2321
  SNAP            directory with the settings file hardware-identity.toml
  SNAP_SAVE_DATA  directory with the record of the identity; without it SNAP_COMMON
  TSS2_LOG        messages of tpm2-tss, such as all+error; none by default

Failures:
  The last line on stderr is `hardware-identity: CAUSE. ADVICE. [CODE]`. The code is stable, the wording is
  not. With --json the last line of stdout is also an object with \"code\", \"cause\" and \"advice\".

Exit status:
  0    done
  1    an input, a file or a setting was refused, an assertion or a ledger is wrong, or check-gadget found
       errors
  2    the command line is wrong
  3    the device, its TPM, an HSM, GnuPG, a key manager or snapd failed
  4    the network, a station or another service failed
  5    the machine or the program failed: no threads, no random numbers, no temporary file
  141  the reader of stdout ended early, such as `head`; the result is incomplete";

fn main() -> ExitCode {
    silence_tss_log();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::finish(&error),
    };
    match run(&cli) {
        Ok(status) => status,
        Err(error) => error::report(&error, cli.json || cli.talks_on_stdout()),
    }
}

fn run(cli: &Cli) -> Result<ExitCode, ToolError> {
    match &cli.command {
        Command::Export(arguments) => export::run(arguments, cli.json)?,
        Command::Activate(arguments) => activate::run(arguments, cli.json)?,
        Command::Prove(arguments) => prove::run(arguments, cli.json)?,
        Command::Show(arguments) => show::run(arguments, cli.json)?,
        Command::Challenge(arguments) => proof::run(arguments)?,
        Command::Sign(arguments) => sign::run(arguments)?,
        Command::Verify(arguments) => verify::run(arguments, cli.json)?,
        Command::Ledger(arguments) => ledger::run(arguments, cli.json)?,
        Command::Station(arguments) => station::run(arguments, cli.json)?,
        Command::CheckGadget(arguments) => return check_gadget::run(arguments, cli.json),
        Command::Completions(arguments) => completions::run(arguments, &mut Cli::command())?,
    }
    Ok(ExitCode::SUCCESS)
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
