//! `hardware-identity check-gadget`: prints the findings of the linter.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use failure::Status;
use gadget_check::{GadgetError, SquashfsError};

use crate::output;

/// Checks a gadget snap before its first boot
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Check a snapcraft project before it is packed, and print the lines to add
    #[arg(long, value_name = "DIR", conflicts_with = "snap")]
    project: Option<PathBuf>,
    /// A .snap, or a directory with meta/snap.yaml: snapcraft's prime, or an unpacked snap
    #[arg(value_name = "SNAP", required_unless_present = "project")]
    snap: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity check-gadget --project .
  hardware-identity check-gadget prime/
  hardware-identity check-gadget --json my-gadget_1_amd64.snap

Exit status:
  0  no errors; there can be warnings
  1  the gadget has errors, or is not a snap or project
  2  the command line is wrong
  5  unsquashfs or the temporary directory failed";

/// Prints the report on stdout, or the failure of the check: with `--json` as an object on stdout,
/// else as a line on stderr.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match check(arguments) {
        Ok(checked) => {
            output::write(None, &checked.text)?;
            Ok(match checked.has_errors {
                false => ExitCode::SUCCESS,
                true => Status::BadInput.into(),
            })
        }
        Err(error) => {
            if arguments.json {
                output::write(None, &pretty(&failure::json(&error)))?;
            }
            failure::report("hardware-identity", &error);
            Ok(status_of(&error).into())
        }
    }
}

/// A report as it is printed.
struct Checked {
    text: String,
    has_errors: bool,
}

fn check(arguments: &Arguments) -> Result<Checked, GadgetError> {
    let json = arguments.json;
    Ok(match (&arguments.project, &arguments.snap) {
        (Some(project), _) => {
            let report = gadget_check::check_project(project)?;
            let text = match json {
                true => pretty(&report.to_json()),
                false => report.to_text(),
            };
            Checked {
                text,
                has_errors: report.has_errors(),
            }
        }
        (None, snap) => {
            // clap requires one of both.
            let report = gadget_check::check(snap.as_deref().unwrap_or(Path::new("")))?;
            let text = match json {
                true => pretty(&report.to_json()),
                false => report.to_text(),
            };
            Checked {
                text,
                has_errors: report.has_errors(),
            }
        }
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
