//! `hardware-identity station lot`: what a lot has reached.

use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::done::{DoneLine, done_file};
use super::journal::read_lines;
use super::summary::LotSummary;
use crate::error::ToolError;
use crate::output::{self, OutputError};
use crate::proof::ProofBatch;

/// Show what a lot has reached: expected, done, missing and failed devices
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct LotArguments {
    /// The directory of the batch; a station may be using it
    #[arg(long, value_name = "DIR")]
    batch: PathBuf,
    /// Print the assertions of the signed devices instead, for an output that was lost
    #[arg(long)]
    assertions: bool,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity station lot --batch batch-7
  hardware-identity station lot --batch batch-7 --json | jq '.missing'
  hardware-identity station lot --batch batch-7 --assertions >signed-again.assert";

pub(super) fn run(arguments: &LotArguments, json: bool) -> Result<(), ToolError> {
    if arguments.assertions {
        return write_assertions(&arguments.batch);
    }
    let summary = LotSummary::read(&arguments.batch)?;
    let text = match json {
        true => format!("{}\n", summary.to_json()),
        false => summary.to_text(),
    };
    Ok(output::write(None, &text)?)
}

/// Writes a stream of all assertions to stdout.
fn write_assertions(batch: &Path) -> Result<(), ToolError> {
    // A directory that is not a batch is an error.
    ProofBatch::id_in(batch)?;
    let mut stdout = BufWriter::new(io::stdout().lock());
    let (mut written, mut separator) = (Ok(()), "");
    read_lines(&done_file(batch), |_, line: DoneLine| {
        if let (Ok(()), Some(signed)) = (&written, line.signed) {
            written = write!(stdout, "{separator}{}", signed.assertion);
            separator = "\n";
        }
    })?;
    Ok(written
        .and_then(|()| stdout.flush())
        .map_err(OutputError::Stdout)?)
}
