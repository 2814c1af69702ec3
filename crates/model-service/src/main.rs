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

/// A reference model service: gives Ubuntu Core devices their serial assertions.
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
    Serve {
        /// The settings
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Imports hardware identities: all of them or, where one is refused, none
    Import {
        /// The settings
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Streams of signed assertions; - is stdin
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
}

const FURTHER: &str = "\
Environment:
  RUST_LOG  what is logged on stderr, such as model_service=debug; info by default

Exit status:
  0  done
  1  failed: the last line on stderr says what happened and what to do
  2  the command line is wrong";

fn main() -> ExitCode {
    let filter = env::var("RUST_LOG").ok().and_then(|filter| filter.parse().ok());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false);
    tracing_subscriber::registry()
        .with(lines)
        .with(filter.unwrap_or(Targets::new().with_default(LevelFilter::INFO)))
        .init();
    let outcome = match Cli::parse().command {
        Command::Init(arguments) => model_service::init(&arguments),
        Command::Serve { config } => model_service::serve(&config),
        Command::Import { config, files } => model_service::import(&config, &files),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("model-service: {}.", format!("{error:#}").replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}
