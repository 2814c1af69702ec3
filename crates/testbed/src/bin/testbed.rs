//! `testbed`: the outside world on the command line.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use serde_json::Value;
use testbed::onboard::{self, Options};

/// Plays what is around a device: its TPM, snapctl, and snapd.
#[derive(Debug, Parser)]
#[command(name = "testbed", version, after_long_help = FURTHER)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Onboard(Onboard),
}

/// Registers a device as snapd does, with any hooks and any model service; its serial assertion goes to stdout
#[derive(Args, Debug)]
struct Onboard {
    /// The gadget's hook prepare-device; leave it out for a gadget without one
    #[arg(long, value_name = "EXE")]
    prepare_device: Option<PathBuf>,
    /// The gadget's hook prepare-serial-request; leave it out for a gadget without one
    #[arg(long, value_name = "EXE")]
    prepare_serial_request: Option<PathBuf>,
    /// Base address of the model service; stands over what the gadget sets as device-service.url
    #[arg(long, value_name = "URL")]
    device_service_url: Option<String>,
    /// The model assertion; without it one that the testbed signs itself
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// An account-key that may have signed the serial; without any, its signature is not verified
    #[arg(long, value_name = "FILE")]
    account_key: Vec<PathBuf>,
    /// Certificates in PEM that an https service is trusted by
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/ssl/certs/ca-certificates.crt"
    )]
    certificates: PathBuf,
    /// Where the device is kept between runs: configuration, snap folders, device key, software TPM
    #[arg(long, value_name = "DIR")]
    device_folder: Option<PathBuf>,
    /// The gadget's settings, copied to $SNAP/hardware-identity.toml
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Sets an option of the gadget before the first attempt, as snap set does
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, Value)>,
    /// Proposes this serial; stands over what the gadget sets as registration.proposed-serial
    #[arg(long, value_name = "SERIAL")]
    proposed_serial: Option<String>,
    /// How many changes (become-operational) there may be; the waits of minutes and hours between them are left out
    #[arg(long, value_name = "N", default_value_t = 1)]
    attempts: u32,
    /// How often request-serial may run in a change; snapd has it run 15 times for a request-id
    #[arg(long, value_name = "N", default_value_t = 15)]
    runs: u32,
    /// The pause before request-serial runs again, where snapd makes one of 60 seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    poll_seconds: Duration,
}

const FURTHER: &str = "\
Environment:
  TCTI  the way to a TPM for the hooks; without it they get a software TPM (swtpm)

Exit status:
  0  done
  1  failed: the last line on stderr says at which step, what happened and what to do
  2  the command line is wrong";

fn main() -> ExitCode {
    let Command::Onboard(arguments) = Cli::parse().command;
    let serial = onboard::register(&arguments.into(), &mut |line| eprintln!("{line}"));
    match serial {
        Ok(serial) => {
            print!("{serial}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let line = format!("{error:#}").replace('\n', " ");
            eprintln!("testbed: {}.", line.trim_end_matches('.'));
            ExitCode::FAILURE
        }
    }
}

impl From<Onboard> for Options {
    fn from(arguments: Onboard) -> Self {
        Options {
            prepare_device: arguments.prepare_device,
            prepare_serial_request: arguments.prepare_serial_request,
            device_service_url: arguments.device_service_url,
            proposed_serial: arguments.proposed_serial,
            model: arguments.model,
            account_keys: arguments.account_key,
            certificates: arguments.certificates,
            device_folder: arguments.device_folder,
            settings: arguments.settings,
            set: arguments.set,
            attempts: arguments.attempts,
            runs: arguments.runs,
            pause: arguments.poll_seconds,
        }
    }
}

/// JSON if it parses, else a string, as for `snap set`.
fn assignment(text: &str) -> Result<(String, Value)> {
    let (name, value) = text.split_once('=').context("give NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

fn seconds(text: &str) -> Result<Duration> {
    let seconds: f64 = text.parse().context("give a number of seconds")?;
    Duration::try_from_secs_f64(seconds).context("give a number of seconds from 0 on")
}
