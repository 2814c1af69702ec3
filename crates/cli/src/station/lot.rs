//! `hardware-identity station lot`: what a lot has reached.

use std::path::PathBuf;

use clap::Args;

use super::summary::LotSummary;
use crate::error::ToolError;
use crate::output;

/// Show what a lot has reached: expected, done, missing and failed devices
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct LotArguments {
    /// The directory of the batch; a station may be using it
    #[arg(long, value_name = "DIR")]
    batch: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity station lot --batch batch-7
  hardware-identity station lot --batch batch-7 --json | jq '.missing'";

pub(super) fn run(arguments: &LotArguments, json: bool) -> Result<(), ToolError> {
    let summary = LotSummary::read(&arguments.batch)?;
    let text = match json {
        true => format!("{}\n", summary.to_json()),
        false => summary.to_text(),
    };
    Ok(output::write(None, &text)?)
}
