//! `hardware-identity check-gadget`: prints the findings of the linter.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use failure::Status;
use serde_json::Value;

use crate::error::ToolError;
use crate::output;

/// Check a gadget snap before its first boot
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
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
  hardware-identity check-gadget my-gadget_1_amd64.snap
  hardware-identity check-gadget --json prime | jq '.findings[] | select(.severity == \"error\")'

With --json the output is one JSON object. The exit status is 1 if there are errors.";

/// Ends with status 1 if there are errors; the findings are the output.
pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<ExitCode, ToolError> {
    let (text, has_errors) = match &arguments.project {
        Some(project) => {
            let report = gadget_check::check_project(project)?;
            (
                printed(json, || report.to_json(), || report.to_text()),
                report.has_errors(),
            )
        }
        // clap requires one of both.
        None => {
            let snap = arguments.snap.as_deref().unwrap_or(Path::new(""));
            let report = gadget_check::check(snap)?;
            (
                printed(json, || report.to_json(), || report.to_text()),
                report.has_errors(),
            )
        }
    };
    output::write(None, &text)?;
    Ok(match has_errors {
        false => ExitCode::SUCCESS,
        true => Status::BadInput.into(),
    })
}

fn printed(json: bool, to_json: impl Fn() -> Value, to_text: impl Fn() -> String) -> String {
    match json {
        true => format!("{:#}\n", to_json()),
        false => to_text(),
    }
}
