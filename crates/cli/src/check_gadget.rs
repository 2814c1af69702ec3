//! `hardware-identity check-gadget`: the findings of the linter.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::error::{GadgetFailure, ToolError};
use crate::output;

/// Check a gadget snap before its first boot
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// A .snap, or a directory with meta/snap.yaml: snapcraft's directory prime, or an unpacked snap
    #[arg(value_name = "SNAP")]
    snap: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity check-gadget gadget_1.0_amd64.snap
  hardware-identity check-gadget --json prime | jq '.findings[] | select(.severity == \"error\")'

With --json the output is one JSON object. The exit status is 1 if there are errors.";

/// Ends with status 1 if there are errors; the findings are the output.
pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<ExitCode, ToolError> {
    let report = gadget_check::check(&arguments.snap).map_err(GadgetFailure::new)?;
    let text = match json {
        true => report.as_json().map_err(GadgetFailure::new)?,
        false => report.as_text(),
    };
    output::write(None, &text)?;
    Ok(match report.errors() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
