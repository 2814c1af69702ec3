//! `model-service`: the command line.

#![forbid(unsafe_code)]

use std::env;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use model_service::InitArguments;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// A reference model service: gives Ubuntu Core devices their serial assertions
#[derive(Debug, Parser)]
#[command(name = "model-service", version, after_long_help = FURTHER)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(InitArguments),
    /// Serves devices, imports and the page until it is stopped
    #[command(after_long_help = SERVE_EXAMPLES)]
    Serve {
        /// Settings file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Imports hardware identities: all, or none if one is refused
    #[command(after_long_help = IMPORT_EXAMPLES)]
    Import {
        /// Settings file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Streams of signed assertions; - is stdin
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
}

const FURTHER: &str = "\
Examples:
  model-service init bench
  model-service serve --config bench/model-service.toml
  model-service import --config bench/model-service.toml signed.assert

Environment:
  RUST_LOG  filter of the log on stderr, such as model_service=debug; info by default

Exit status:
  0  done
  1  a file, a setting or an assertion was refused
  2  the command line is wrong
  4  the address to listen on cannot be used
  5  the machine or the program failed, such as a database that cannot be written

A failed command prints one line on stderr: model-service: CAUSE. ADVICE. [CODE]";

const SERVE_EXAMPLES: &str = "\
Examples:
  model-service serve --config bench/model-service.toml
  RUST_LOG=model_service=debug model-service serve --config bench/model-service.toml";

const IMPORT_EXAMPLES: &str = "\
Examples:
  model-service import --config bench/model-service.toml signed.assert
  cat *.assert | model-service import --config bench/model-service.toml -

Prints a line for each assertion: FILE:NUMBER: OUTCOME \"HARDWARE-ID\". The outcome is new, replaced,
present, older or refused. The line of a refused assertion ends with cause, advice and code.";

fn main() -> ExitCode {
    let filter = env::var("RUST_LOG").ok().and_then(|filter| filter.parse().ok());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false);
    tracing_subscriber::registry()
        .with(lines)
        .with(filter.unwrap_or(Targets::new().with_default(LevelFilter::INFO)))
        .init();
    let result = match Cli::parse().command {
        Command::Init(arguments) => model_service::init(&arguments),
        Command::Serve { config } => model_service::serve(&config),
        Command::Import { config, files } => model_service::import(&config, &files),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure::report("model-service", &error);
            error.status().into()
        }
    }
}
