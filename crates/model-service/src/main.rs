//! `model-service`: the command line.

#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use model_service::{Error, IdentityChange, InitArguments, LogFormat, start_log};

/// A model service: gives Ubuntu Core devices their serial assertions
#[derive(Debug, Parser)]
#[command(name = "model-service", version, after_long_help = FURTHER)]
struct Cli {
    /// Form of the log on stderr; `text`, or for `serve` that of the settings, by default
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(InitArguments),
    /// Creates the database for settings that `init` did not write
    InitStore {
        #[command(flatten)]
        config: Config,
    },
    /// Moves an SQLite database to PostgreSQL, and verifies the copy; the service must not run
    #[command(after_long_help = MIGRATE_EXAMPLES)]
    MigrateStore {
        /// SQLite database, sqlite:PATH
        #[arg(long, value_name = "SOURCE", value_parser = sqlite_path)]
        from: PathBuf,
        /// PostgreSQL database, postgres://USER@HOST:PORT/NAME; empty, or filled by this command
        #[arg(long, value_name = "URL")]
        to: String,
        /// Ledger of the SQLite database; beside it by default
        #[arg(long, value_name = "FILE")]
        ledger: Option<PathBuf>,
        /// File with the password of the role; PGPASSWORD or PGPASSFILE by default
        #[arg(long, value_name = "FILE")]
        database_password_file: Option<PathBuf>,
    },
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
    /// Copies the database to a new directory, also while the service runs
    #[command(after_long_help = BACKUP_EXAMPLES)]
    Backup {
        #[command(flatten)]
        config: Config,
        /// Directory to make; an empty one may exist
        #[arg(value_name = "TO")]
        to: PathBuf,
    },
    /// Replaces the database by a backup and replays the ledger; the service must not run
    #[command(after_long_help = BACKUP_EXAMPLES)]
    Restore {
        #[command(flatten)]
        config: Config,
        /// Begins a new ledger if the old one is lost: serials issued after the backup are forgotten
        #[arg(long)]
        new_ledger: bool,
        /// Directory that `backup` made
        #[arg(value_name = "FROM")]
        from: PathBuf,
    },
    /// Blocks, unblocks or shows a hardware identity, also while the service runs
    #[command(subcommand, after_long_help = WITHDRAWAL_EXAMPLES)]
    Identity(IdentityCommand),
    /// Takes back serials, also while the service runs
    #[command(subcommand, after_long_help = WITHDRAWAL_EXAMPLES)]
    Serial(SerialCommand),
    /// Checks the log of issued serials and administrative changes
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Checks the settings, the keys, the secrets and the database before a start, also while the
    /// service runs
    #[command(after_long_help = CHECK_EXAMPLES)]
    Check {
        #[command(flatten)]
        config: Config,
        /// Prints one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Signs for a service that starts this command itself
    #[command(hide = true)]
    SignSerials,
    /// Prints the completion script of a shell
    #[command(after_long_help = COMPLETIONS_EXAMPLE)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Args, Debug)]
struct Config {
    /// Settings file
    #[arg(long = "config", value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Subcommand)]
enum IdentityCommand {
    /// Gives the device no more serials
    Block {
        #[command(flatten)]
        config: Config,
        /// Why, for the ledger
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Digest of the key, in either form
        #[arg(value_name = "DIGEST", allow_hyphen_values = true)]
        digest: String,
    },
    /// Gives the device serials again
    Unblock {
        #[command(flatten)]
        config: Config,
        /// Why, for the ledger
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Digest of the key, in either form
        #[arg(value_name = "DIGEST", allow_hyphen_values = true)]
        digest: String,
    },
    /// Prints the assertions, the serials and the block of the identity
    Show {
        #[command(flatten)]
        config: Config,
        /// Digest of the key, in either form
        #[arg(value_name = "DIGEST", allow_hyphen_values = true)]
        digest: String,
    },
}

#[derive(Debug, Subcommand)]
enum SerialCommand {
    /// Takes a serial from its device, so that another one can get it
    Release {
        #[command(flatten)]
        config: Config,
        /// Why, for the ledger
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Account id of the brand
        #[arg(value_name = "BRAND-ID")]
        brand: String,
        /// Name of the model
        #[arg(value_name = "MODEL")]
        model: String,
        /// The serial
        #[arg(value_name = "SERIAL")]
        serial: String,
    },
}

#[derive(Debug, Subcommand)]
enum LedgerCommand {
    /// Checks every line, and names the first bad one
    Verify {
        #[command(flatten)]
        config: Config,
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
  1  a file, a setting, an assertion or a line of the ledger was refused
  2  the command line is wrong
  3  the HSM or the key manager of a serial key failed
  4  the address to listen on cannot be used, or the PostgreSQL server cannot be reached
  5  the machine or the program failed, such as a database that cannot be written

A failed command prints one line on stderr: model-service: CAUSE. ADVICE. [CODE]";

const SERVE_EXAMPLES: &str = "\
Examples:
  model-service serve --config bench/model-service.toml
  RUST_LOG=model_service=debug model-service serve --config bench/model-service.toml";

const CHECK_EXAMPLES: &str = "\
Examples:
  model-service check --config bench/model-service.toml
  model-service check --config bench/model-service.toml --json

Prints a line for each check, which begins with ok, warning or error. The exit status is 1 if there
is an error.";
const MIGRATE_EXAMPLES: &str = "\
Examples:
  model-service migrate-store --from sqlite:bench/model-service.sqlite --to postgres://me@db.example/fleet

Prints the number of rows and the SHA-256 of each table, which both databases have then. Stores all or
nothing, and nothing if the PostgreSQL database has the same rows already.";

const IMPORT_EXAMPLES: &str = "\
Examples:
  model-service import --config bench/model-service.toml signed.assert
  cat *.assert | model-service import --config bench/model-service.toml -

Prints a line for each assertion: FILE:NUMBER: OUTCOME \"HARDWARE-ID\". The outcome is new, replaced,
present, older or refused. The line of a refused assertion ends with cause, advice and code.";

const BACKUP_EXAMPLES: &str = "\
Examples:
  model-service backup --config bench/model-service.toml backup-1
  model-service restore --config bench/model-service.toml backup-1";

const COMPLETIONS_EXAMPLE: &str = "\
Example:
  model-service completions bash >~/.local/share/bash-completion/completions/model-service";

const WITHDRAWAL_EXAMPLES: &str = "\
Examples:
  model-service identity show --config bench/model-service.toml DIGEST
  model-service identity block --config bench/model-service.toml DIGEST --reason \"stolen\"
  model-service serial release --config bench/model-service.toml BRAND-ID MODEL SERIAL --reason \"replaced\"";

fn main() -> ExitCode {
    let Cli { log_format, command } = Cli::parse();
    // `serve` starts the log when it has read the settings.
    if !matches!(command, Command::Serve { .. }) {
        start_log(log_format.unwrap_or_default());
    }
    let result = match command {
        Command::Init(arguments) => model_service::init(&arguments),
        Command::Serve { config } => model_service::serve(&config, log_format),
        Command::Import { config, files } => model_service::import(&config, &files),
        Command::MigrateStore {
            from,
            to,
            ledger,
            database_password_file,
        } => model_service::migrate_store(&from, ledger.as_deref(), &to, database_password_file.as_deref()),
        Command::InitStore { config } => model_service::init_store(&config.file),
        Command::Backup { config, to } => model_service::backup(&config.file, &to),
        Command::Restore {
            config,
            new_ledger,
            from,
        } => model_service::restore(&config.file, &from, new_ledger),
        Command::Identity(command) => identity(&command),
        Command::Serial(SerialCommand::Release {
            config,
            reason,
            brand,
            model,
            serial,
        }) => model_service::release_serial(&config.file, brand, model, serial, &reason),
        Command::Ledger(LedgerCommand::Verify { config }) => model_service::verify_ledger(&config.file),
        Command::Check { config, json } => model_service::check(&config.file, json),
        Command::SignSerials => model_service::sign_serials(),
        Command::Completions { shell } => print_completions(shell),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure::report("model-service", &error);
            error.status().into()
        }
    }
}

/// The path in `sqlite:PATH`.
fn sqlite_path(text: &str) -> Result<PathBuf, String> {
    text.strip_prefix("sqlite:")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .ok_or_else(|| "it is not sqlite:PATH".to_owned())
}

fn print_completions(shell: Shell) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "model-service", &mut script);
    io::stdout().write_all(&script).map_err(Error::Stdout)
}

fn identity(command: &IdentityCommand) -> Result<(), Error> {
    let (config, digest, change, reason) = match command {
        IdentityCommand::Block {
            config,
            reason,
            digest,
        } => (config, digest, IdentityChange::Block, reason),
        IdentityCommand::Unblock {
            config,
            reason,
            digest,
        } => (config, digest, IdentityChange::Unblock, reason),
        IdentityCommand::Show { config, digest } => {
            return model_service::show_identity(&config.file, digest);
        }
    };
    model_service::change_identity(&config.file, digest, change, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_man_pages_are_up_to_date() {
        let outdated = manual::outdated(Cli::command()).unwrap();
        assert!(outdated.is_empty(), "UPDATE_MAN=1 cargo test man: {outdated:?}");
    }
}
