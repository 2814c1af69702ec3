//! `hardware-identity`: the tool for the factory line, the issuer's station and authors of gadget snaps.

#![forbid(unsafe_code)]

mod batch;
mod check_gadget;
mod completions;
mod device;
mod explain;
mod export;
mod exports;
mod issuer_key;
mod output;
mod progress;
mod show;
mod sign;
mod signed;
mod signing_key;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use hardware_identity::tpm::silence_tss_log;

/// Hardware identities of Ubuntu Core devices: on a device `export` and `show`, at the issuer's station
/// `sign` and `verify`, for authors of gadget snaps `check-gadget`.
#[derive(Debug, Parser)]
#[command(name = "hardware-identity", version, after_long_help = FURTHER)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Export(export::Arguments),
    Show(show::Arguments),
    Sign(sign::Arguments),
    Verify(verify::Arguments),
    CheckGadget(check_gadget::Arguments),
    Completions(completions::Arguments),
}

const FURTHER: &str = "\
Environment:
  TCTI            the way to the TPM, such as device:/dev/tpmrm0 or swtpm:host=127.0.0.1,port=2321
  SNAP            folder with the settings file hardware-identity.toml
  SNAP_SAVE_DATA  folder with the record of the identity; else SNAP_COMMON
  TSS2_LOG        messages of tpm2-tss, such as all+error; none by default

Exit status:
  0  done
  1  failed: the last line on stderr says what happened and what to do; or check-gadget found errors
  2  the command line is wrong";

fn main() -> ExitCode {
    silence_tss_log();
    let outcome = match Cli::parse().command {
        Command::Export(arguments) => export::run(&arguments),
        Command::Show(arguments) => show::run(&arguments),
        Command::Sign(arguments) => sign::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::CheckGadget(arguments) => match check_gadget::run(&arguments) {
            Ok(status) => return status,
            Err(error) => Err(error),
        },
        Command::Completions(arguments) => completions::run(&arguments, &mut Cli::command()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = format!("{error:#}").replace(char::is_control, " ");
            eprintln!("hardware-identity: {line}.");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;
    use std::path::Path;

    use clap::CommandFactory as _;
    use clap_mangen::Man;

    use super::Cli;

    /// The manual pages are made from the command line's own description; `UPDATE_MAN=1 cargo test man`
    /// writes them.
    #[test]
    fn the_man_pages_are_up_to_date() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../man");
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        let subcommands = command.get_subcommands().cloned();
        for command in [command.clone()].into_iter().chain(subcommands) {
            let name = command
                .get_display_name()
                .unwrap_or(command.get_name())
                .to_owned();
            let mut page = Vec::new();
            Man::new(command).title(&name).render(&mut page).unwrap();
            let file = folder.join(format!("{name}.1"));
            if env::var_os("UPDATE_MAN").is_some() {
                fs::write(&file, &page).unwrap();
            }
            let standing = fs::read(&file).unwrap_or_default();
            assert!(
                standing == page,
                "{} is out of date: UPDATE_MAN=1 cargo test man",
                file.display()
            );
        }
    }
}
