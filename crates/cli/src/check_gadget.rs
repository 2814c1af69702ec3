//! `hardware-identity check-gadget`: prints the findings of the linter.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use failure::Status;
use gadget_check::{GadgetError, GadgetReport, SquashfsError};

use crate::output;

/// Checks a gadget snap before its first boot
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// A .snap, or a directory with meta/snap.yaml: snapcraft's prime, or an unpacked snap
    #[arg(value_name = "SNAP")]
    snap: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity check-gadget prime/
  hardware-identity check-gadget --json my-gadget_1_amd64.snap

Exit status:
  0  no errors; there can be warnings
  1  the gadget has errors, or is not a snap
  2  the command line is wrong
  5  unsquashfs or the temporary directory failed";

/// Prints the report on stdout, or the failure of the check: with `--json` as an object on stdout,
/// else as a line on stderr.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match gadget_check::check(&arguments.snap) {
        Ok(report) => print(&report, arguments.json),
        Err(error) => {
            if arguments.json {
                output::write(None, &pretty(&failure::json(&error)))?;
            }
            failure::report("hardware-identity", &error);
            Ok(status_of(&error).into())
        }
    }
}

fn print(report: &GadgetReport, json: bool) -> anyhow::Result<ExitCode> {
    let text = match json {
        true => pretty(&report.to_json()),
        false => report.to_text(),
    };
    output::write(None, &text)?;
    Ok(match report.has_errors() {
        false => ExitCode::SUCCESS,
        true => Status::BadInput.into(),
    })
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

fn status_of(error: &GadgetError) -> Status {
    match error {
        GadgetError::Squashfs(
            SquashfsError::UnsquashfsMissing
            | SquashfsError::UnsquashfsFailed { .. }
            | SquashfsError::NoTemporaryDirectory { .. },
        ) => Status::Internal,
        _ => Status::BadInput,
    }
}
