//! `hardware-identity check-gadget`: the findings of the linter.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::output;

/// Checks a gadget snap before its first boot
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// A .snap, or a folder with meta/snap.yaml: snapcraft's prime folder, or an unpacked snap
    #[arg(value_name = "SNAP")]
    snap: PathBuf,
}

/// Ends with status 1 if there are errors; the findings themselves are the output.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let report = gadget_check::check(&arguments.snap)?;
    let text = match arguments.json {
        true => report.as_json()?,
        false => report.as_text(),
    };
    output::write(None, &text)?;
    Ok(match report.errors() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
