//! `hardware-identity ledger verify`: checks the chain of a ledger.

use std::io::{BufRead, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::chain::{Head, Link};
use super::error::LedgerError;
use super::{MAX_LINE, failed};
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
    let mut chain = Chain::default();
    for file in &arguments.files {
        chain.verify(file)?;
    }
    let Head { sequence, hash } = chain.head;
    let text = match json {
        true => format!("{}\n", json!({"ok": true, "lines": sequence, "sha256": hash})),
        false => format!("ok: {sequence} lines, the last with SHA-256 {hash}\n"),
    };
    Ok(output::write(None, &text)?)
}

/// The lines so far.
#[derive(Default)]
struct Chain {
    head: Head,
    /// The file and the number of the last line.
    last: Option<(PathBuf, u64)>,
}

impl Chain {
    fn verify(&mut self, path: &Path) -> Result<(), LedgerError> {
        let mut reader = std::io::BufReader::new(files::open(path)?);
        for number in 1.. {
            let mut line = Vec::new();
            read_line(&mut reader, &mut line).map_err(|reason| failed(path, reason))?;
            match line.pop() {
                None => break,
                Some(b'\n') => self.add(path, number, &line)?,
                Some(_) => return Err(broken(path, number, "it is incomplete or too long")),
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, number: u64, line: &[u8]) -> Result<(), LedgerError> {
        let link = Link::read(line).map_err(|reason| broken(path, number, reason))?;
        let expected = self.head.sequence + 1;
        if link.sequence != expected {
            let found = link.sequence;
            let reason = format!("it has the sequence {found} instead of {expected}");
            return Err(broken(path, number, reason));
        }
        if !link.follows(&self.head) {
            return Err(match &self.last {
                Some((path, last)) => broken(path, *last, "the next line has another hash of it"),
                None => broken(path, number, "it is not the first line of a ledger"),
            });
        }
        self.head = Head::of(link.sequence, line);
        self.last = Some((path.to_owned(), number));
        Ok(())
    }
}

/// Reads a line with its line feed, if it has one and is not too long.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    reader.take(MAX_LINE + 1).read_until(b'\n', line)
}

fn broken(path: &Path, line: u64, reason: impl Into<String>) -> LedgerError {
    LedgerError::Broken {
        path: path.to_owned(),
        line,
        reason: reason.into(),
    }
}
