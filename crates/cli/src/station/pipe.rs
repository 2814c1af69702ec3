//! `hardware-identity station pipe`: one device over a pipe.

use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use failure::Status;
use miette::Diagnostic;
use thiserror::Error;

use super::LineArguments;
use super::error::{DeviceRefusal, NoResult};
use super::line::{InLineStation, Response, hardware_id_in};
use crate::error::ToolError;
use crate::exchange::{DeviceRequest, DeviceResult, LARGEST_REQUEST, RemoteProblem, on_one_line};
use crate::lines::{LineError, MessageLines};
use crate::output;

/// The most requests of a device.
const MOST_REQUESTS: usize = 8;
/// The time for the command to end after the visit.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Prove one device over a pipe: start COMMAND, which runs `hardware-identity prove --stdio` on the device
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct PipeArguments {
    #[command(flatten)]
    line: LineArguments,
    /// The time for the whole visit; a slow TPM makes an RSA key in a minute
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    time_limit: u64,
    /// The command and its arguments; without one, the messages are on stdin and stdout, and the result is
    /// on stderr
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity station pipe --batch batch-7 --ek-roots tpm-roots/ \\
    --issuer-id your-account-id --hardware-name example-box --key issuer.pem \\
    --output signed.assert --ledger station.jsonl -- ssh device sudo hardware-identity prove --stdio
  hardware-identity station pipe --batch batch-7 --ek-roots tpm-roots/ --collect collected \\
    -- ssh device sudo hardware-identity prove --stdio

Several of these commands can use the same batch at a time.";

/// Why a device was not proven over a pipe.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum PipeFailure {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Refused(DeviceRefusal),
    #[error("cannot start {command}: {reason}")]
    #[diagnostic(
        code("pipe-command-missing"),
        help("Check the command after --, and that it is installed")
    )]
    NotStarted { command: String, reason: io::Error },
    #[error("the device ended the conversation without a result")]
    #[diagnostic(
        code("device-ended"),
        help(
            "Check that the command runs `hardware-identity prove --stdio`; the lines on stderr may say more"
        )
    )]
    Ended,
    #[error("the device was not proven within {0} s")]
    #[diagnostic(
        code("device-too-slow"),
        help("Check the connection to the device, or raise --time-limit for a slow TPM")
    )]
    Late(u64),
    #[error("cannot talk to the device: {0}")]
    #[diagnostic(
        code("pipe-broken"),
        help("Check that the command prints nothing else on stdout than `hardware-identity prove --stdio`")
    )]
    Broken(io::Error),
}

impl PipeFailure {
    pub(crate) fn status(&self) -> Status {
        match self {
            PipeFailure::Refused(DeviceRefusal::Device(_)) => Status::Device,
            PipeFailure::Refused(_) | PipeFailure::NotStarted { .. } => Status::BadInput,
            PipeFailure::Ended | PipeFailure::Late(_) | PipeFailure::Broken(_) => Status::Service,
        }
    }

    /// Returns true if the device did not say why it has no result.
    fn is_of_conversation(&self) -> bool {
        matches!(
            self,
            PipeFailure::Ended | PipeFailure::Late(_) | PipeFailure::Broken(_)
        )
    }
}

pub(super) fn run(arguments: &PipeArguments, json: bool) -> Result<(), ToolError> {
    let station = arguments.line.open(false)?;
    let end = Instant::now() + Duration::from_secs(arguments.time_limit);
    let visit = |reader: Box<dyn Read + Send>, writer: Box<dyn Write>| {
        let lines = MessageLines::new(reader, writer, LARGEST_REQUEST).map_err(PipeFailure::Broken)?;
        let mut visit = StationVisit {
            station: &station,
            hardware_id: String::new(),
            lines,
            end,
            limit: arguments.time_limit,
        };
        visit.run()
    };
    let Some((program, further)) = arguments.command.split_first() else {
        let result = visit(Box::new(io::stdin()), Box::new(io::stdout()))?;
        // stdout has the messages.
        let _ = io::stderr().write_all(result.line(json).as_bytes());
        return Ok(());
    };
    let mut device = Command::new(program);
    device.args(further).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut device = RunningDevice::start(device, program)?;
    let (stdout, stdin) = device.pipes()?;
    let result = visit(Box::new(stdout), Box::new(stdin));
    device.wait(end);
    Ok(output::write(None, &result?.line(json))?)
}

/// The messages of one device.
struct StationVisit<'a, W> {
    station: &'a InLineStation,
    /// As the device gave it; empty until then.
    hardware_id: String,
    lines: MessageLines<W>,
    end: Instant,
    /// In seconds.
    limit: u64,
}

impl<W: Write> StationVisit<'_, W> {
    /// Proves the device. What it was refused for is recorded, and so is a visit that ends early.
    fn run(&mut self) -> Result<DeviceResult, ToolError> {
        let result = self.answer_requests();
        if let Err(ToolError::Pipe(failure)) = &result
            && failure.is_of_conversation()
        {
            self.station.record(&self.hardware_id, failure);
        }
        result
    }

    fn answer_requests(&mut self) -> Result<DeviceResult, ToolError> {
        for _ in 0..MOST_REQUESTS {
            let line = self.receive()?;
            let request = match read(&line) {
                Ok(request) => request,
                Err(refusal) => {
                    self.station.record(&self.hardware_id, &refusal);
                    return Err(self.refuse(refusal));
                }
            };
            self.hardware_id = hardware_id_in(&request.export);
            match self.station.respond(&request) {
                Ok(response) => {
                    self.send(&response.to_json())?;
                    if let Response::Result(result) = response {
                        return Ok(result);
                    }
                }
                Err(NoResult::Refused(refusal)) => return Err(self.refuse(refusal)),
                Err(NoResult::Failed(error)) => {
                    let _ = self.send(&failure::json(&*error).to_string());
                    return Err(*error);
                }
            }
        }
        Err(PipeFailure::Ended.into())
    }

    fn receive(&self) -> Result<Vec<u8>, PipeFailure> {
        let left = self.end.saturating_duration_since(Instant::now());
        self.lines.receive(left).map_err(|error| match error {
            LineError::Ended => PipeFailure::Ended,
            LineError::Late => PipeFailure::Late(self.limit),
            LineError::Unreadable(reason) => PipeFailure::Broken(reason),
        })
    }

    fn send(&mut self, json: &str) -> Result<(), PipeFailure> {
        let line = on_one_line(json).map_err(|error| PipeFailure::Broken(error.into()))?;
        self.lines.send(line.get()).map_err(PipeFailure::Broken)
    }

    fn refuse(&mut self, refusal: DeviceRefusal) -> ToolError {
        // A device that has failed may not read any more.
        let _ = self.send(&failure::json(&refusal).to_string());
        PipeFailure::Refused(refusal).into()
    }
}

fn read(line: &[u8]) -> Result<DeviceRequest, DeviceRefusal> {
    match RemoteProblem::read(line) {
        Some(problem) => Err(DeviceRefusal::Device(problem)),
        None => serde_json::from_slice(line).map_err(|error| DeviceRefusal::Malformed(error.to_string())),
    }
}

/// The command that leads to the device. It is killed at the end, if it has not ended.
struct RunningDevice(Child);

impl RunningDevice {
    fn start(mut command: Command, program: &str) -> Result<Self, PipeFailure> {
        command
            .spawn()
            .map(RunningDevice)
            .map_err(|reason| PipeFailure::NotStarted {
                command: program.to_owned(),
                reason,
            })
    }

    fn pipes(&mut self) -> Result<(impl Read + Send + use<>, impl Write + use<>), PipeFailure> {
        let pipes = self.0.stdout.take().zip(self.0.stdin.take());
        pipes.ok_or(PipeFailure::Ended)
    }

    /// Gives the command time to end, which it does after the result or its own message.
    fn wait(&mut self, end: Instant) {
        let end = end.min(Instant::now() + LAST_WORDS);
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for RunningDevice {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
