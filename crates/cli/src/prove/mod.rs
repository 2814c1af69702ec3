//! `hardware-identity prove`: proves the key of this device to a station in line, in one visit.

mod client;
mod error;
mod stdio;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::{ArgGroup, Args};
use residency::{Challenge, EkTemplate};

pub(crate) use error::ProveFailure;

use crate::activate::answer_challenge;
use crate::device::LocalDevice;
use crate::error::{PROGRAM, ToolError};
use crate::exchange::{DeviceRequest, DeviceResult};
use crate::export::{ExportHeaders, with_evidence};
use crate::output;
use crate::pin::Pin;
use crate::token::Token;
use client::{StationAddress, StationClient};
use stdio::StationPipe;

/// The pause between two attempts to reach the station.
const PAUSE: Duration = Duration::from_secs(2);

/// Prove to the issuer's station that the key of this device lives in its TPM: export, challenge and
/// answer in one visit
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[command(group = ArgGroup::new("way").required(true))]
pub(crate) struct ProveArguments {
    /// The station: https://HOST:PORT
    #[arg(
        long,
        value_name = "URL",
        group = "way",
        requires = "pin",
        requires = "token_file"
    )]
    station: Option<StationAddress>,
    /// The pin of the station's key, which `station serve` prints: sha256// and the SHA-256 in base64
    #[arg(long, value_name = "PIN", conflicts_with = "stdio")]
    pin: Option<Pin>,
    /// The file with the token of the station
    #[arg(long, value_name = "FILE", conflicts_with = "stdio")]
    token_file: Option<PathBuf>,
    /// Try again while the station cannot be reached or cannot answer, for at most SECONDS; 600 if none
    /// are given
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "600",
        value_parser = clap::value_parser!(u64).range(..=86_400),
        conflicts_with = "stdio"
    )]
    wait: Option<u64>,
    /// Talk to `station pipe` on stdin and stdout
    #[arg(long, group = "way")]
    stdio: bool,
    #[command(flatten)]
    headers: ExportHeaders,
    /// The endorsement key of the evidence, as for `export`
    #[arg(long, value_name = "TEMPLATE")]
    ek_template: Option<EkTemplate>,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity prove --station https://192.0.2.1:8660 --pin sha256//… --token-file token --wait
  hardware-identity prove --stdio

A device may come again at any time: it gets the same result. Flags override settings.";

/// A connection to a station.
trait StationLink {
    /// Sends a request. Returns the JSON of the response.
    fn send(&mut self, request: &DeviceRequest) -> Result<Vec<u8>, ProveFailure>;
}

impl ProveArguments {
    /// Returns true if a failure is an object on stdout: it is a message to the station.
    pub(crate) fn is_stdio(&self) -> bool {
        self.stdio
    }

    fn link(&self) -> Result<Box<dyn StationLink>, ProveFailure> {
        match (&self.station, self.pin, &self.token_file) {
            (Some(station), Some(pin), Some(token)) => {
                let token = Token::read(token)?;
                Ok(Box::new(StationClient::new(station.clone(), pin, token)?))
            }
            // clap demands all three or --stdio.
            _ => Ok(Box::new(StationPipe::new()?)),
        }
    }
}

pub(crate) fn run(arguments: &ProveArguments, json: bool) -> Result<(), ToolError> {
    let mut visit = DeviceVisit {
        link: arguments.link()?,
        end: Instant::now() + Duration::from_secs(arguments.wait.unwrap_or(0)),
    };
    let device = LocalDevice::read(json || arguments.stdio)?;
    let (export, evidence) = with_evidence(&device, &arguments.headers, arguments.ek_template)?;
    let request = DeviceRequest::new(&export, &evidence).map_err(ProveFailure::invalid)?;
    let challenge = visit.send(&request)?;
    let challenge = Challenge::read(&challenge).map_err(ProveFailure::invalid)?;
    let answer = answer_challenge(&device, challenge)?;
    let request = request
        .answered(&answer.to_json())
        .map_err(ProveFailure::invalid)?;
    let result = visit.send(&request)?;
    let result: DeviceResult = serde_json::from_slice(&result).map_err(ProveFailure::invalid)?;
    match arguments.stdio {
        // The station reports it.
        true => Ok(()),
        false => Ok(output::write(None, &result.line(json))?),
    }
}

/// The messages with the station.
struct DeviceVisit {
    link: Box<dyn StationLink>,
    /// Of the attempts.
    end: Instant,
}

impl DeviceVisit {
    fn send(&mut self, request: &DeviceRequest) -> Result<Vec<u8>, ProveFailure> {
        let mut warned = false;
        loop {
            match self.link.send(request) {
                Err(failure) if failure.is_transient() && Instant::now() < self.end => {
                    if !warned {
                        failure::warn(PROGRAM, &failure);
                        warned = true;
                    }
                    thread::sleep(PAUSE);
                }
                sent => return sent,
            }
        }
    }
}
