//! `hardware-identity ledger verify`: checks the chain of a ledger.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ledger_chain::{ChainReader, Head};
use serde_json::json;

use super::error::LedgerError;
use crate::error::ToolError;
use crate::output;

/// Check the ledger that `sign --ledger` writes
#[derive(Args, Debug)]
pub(crate) struct LedgerArguments {
    #[command(subcommand)]
    command: LedgerCommand,
}

#[derive(Debug, Subcommand)]
enum LedgerCommand {
    Verify(VerifyArguments),
}

/// Check that no line of a ledger was changed, removed, added or moved, and name the first such line
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
struct VerifyArguments {
    /// The ledger of a station or of a model service; several files are one ledger, the oldest first
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity ledger verify signed.ledger.jsonl
  hardware-identity ledger verify --json signed.ledger.jsonl | jq -r .sha256

The result is the number of lines and the SHA-256 of the last one. Keep both elsewhere: a ledger that is
cut off at its end, or whose last line was changed, is a valid chain too.";

pub(crate) fn run(arguments: &LedgerArguments, json: bool) -> Result<(), ToolError> {
    let LedgerCommand::Verify(arguments) = &arguments.command;
    let mut reader = ChainReader::default();
    for file in &arguments.files {
        reader.read(file, |_| Ok(())).map_err(LedgerError::Chain)?;
    }
    let Head { sequence, hash } = reader.into_head();
    let text = match json {
        true => format!("{}\n", json!({"ok": true, "lines": sequence, "sha256": hash})),
        false => format!("ok: {sequence} lines, the last with SHA-256 {hash}\n"),
    };
    Ok(output::write(None, &text)?)
}
