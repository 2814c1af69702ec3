//! `hardware-identity check-gadget`: the findings of the linter.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use failure::Status;

use crate::error::ToolError;
use crate::output;

/// Check a gadget snap before its first boot
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// A .snap, or a directory with meta/snap.yaml: snapcraft's prime, or an unpacked snap
    #[arg(value_name = "SNAP")]
    snap: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity check-gadget my-gadget_1_amd64.snap
  hardware-identity check-gadget --json prime | jq '.findings[] | select(.severity == \"error\")'

With --json the output is one JSON object. The exit status is 1 if there are errors.";

/// Ends with status 1 if there are errors; the findings are the output.
pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<ExitCode, ToolError> {
    let report = gadget_check::check(&arguments.snap)?;
    let text = match json {
        true => format!("{:#}\n", report.to_json()),
        false => report.to_text(),
    };
    output::write(None, &text)?;
    Ok(match report.has_errors() {
        false => ExitCode::SUCCESS,
        true => Status::BadInput.into(),
    })
}
