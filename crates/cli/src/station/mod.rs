//! The issuer's station in line: the proof of a device in one visit, over the network or over a pipe.

mod clock;
mod collect;
mod done;
mod error;
mod expected;
mod failures;
mod http;
mod journal;
mod limits;
mod line;
mod lot;
mod output;
mod page;
mod pipe;
mod recorder;
mod reservations;
mod serve;
mod server;
mod shared_ledger;
mod statement;
mod summary;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};

pub(crate) use error::LotError;
pub(crate) use pipe::PipeFailure;
pub(crate) use serve::ServeFailure;

use crate::error::{PROGRAM, ToolError};
use crate::proof::{TrustArguments, ledger_in};
use crate::sign::LedgerOfOneBatch;
use crate::signing_key::SignerArguments;
use line::InLineStation;
use recorder::Destination;
use shared_ledger::KnownProofs;
use statement::LineHeaders;

/// Prove devices on the line, each in one visit: over the network (serve) or over a pipe (pipe); and show
/// what a lot has reached (lot)
#[derive(Args, Debug)]
pub(crate) struct StationArguments {
    #[command(subcommand)]
    command: StationCommand,
}

#[derive(Debug, Subcommand)]
enum StationCommand {
    Serve(serve::ServeArguments),
    Pipe(pipe::PipeArguments),
    Lot(lot::LotArguments),
}

/// The batch of a station, and where its results go.
#[derive(Args, Debug)]
struct LineArguments {
    /// The directory of the batch, as that of `challenge`: its secret key, a copy of what its devices are
    /// checked against, and the state of the lot. It is made if it does not exist
    #[arg(long, value_name = "DIR")]
    batch: PathBuf,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    headers: LineHeaders,
    /// The hardware ids of the lot: one on each line, or the first column of CSV. Others are refused. The
    /// list is kept with the batch
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Sign nothing: write the messages of each proven device to DIR, for a later `sign --require-proof
    /// --batch … --answers DIR DIR`
    #[arg(long, value_name = "DIR", group = "signer")]
    collect: Option<PathBuf>,
    /// Append the assertions to FILE
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "collect",
        conflicts_with = "collect"
    )]
    output: Option<PathBuf>,
    /// Append a line for each assertion to FILE before the assertion is written, as `sign --ledger` does
    #[arg(long, value_name = "FILE", conflicts_with = "collect")]
    ledger: Option<PathBuf>,
    #[command(flatten)]
    signer: SignerArguments,
}

impl LineArguments {
    /// Opens the signing key, the batch and, if `is_kept`, the files of the lot.
    fn open(&self, is_kept: bool) -> Result<InLineStation, ToolError> {
        let destination = match (&self.collect, &self.output) {
            (None, Some(output)) => Destination::Sign {
                signer: Arc::from(self.signer.open()?),
                output: output.clone(),
                ledger: self.ledger(),
                proofs: KnownProofs::default(),
            },
            (directory, _) => Destination::Collect(directory.clone().unwrap_or_default()),
        };
        InLineStation::open(
            &self.batch,
            &self.trust,
            self.headers.clone(),
            self.expect.as_deref(),
            destination,
            is_kept,
        )
    }

    fn ledger(&self) -> PathBuf {
        self.ledger.clone().unwrap_or_else(|| {
            let of_batch = ledger_in(&self.batch);
            failure::warn(PROGRAM, &LedgerOfOneBatch(of_batch.clone()));
            of_batch
        })
    }
}

pub(crate) fn run(arguments: &StationArguments, json: bool) -> Result<(), ToolError> {
    match &arguments.command {
        StationCommand::Serve(arguments) => serve::run(arguments),
        StationCommand::Pipe(arguments) => pipe::run(arguments, json),
        StationCommand::Lot(arguments) => lot::run(arguments, json),
    }
}
