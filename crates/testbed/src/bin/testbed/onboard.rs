//! The subcommand `testbed onboard`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use testbed::onboard::{self, Options};

use crate::device::DeviceArguments;

const EXAMPLES: &str = "\
Examples:
  Register with the hooks of an unpacked gadget snap:
    testbed onboard --gadget my-gadget --device-service-url http://127.0.0.1:8650/v1/ \\
        --model bench/assertions/example-box.model

  Register with two executables, verify the serial, and keep the device:
    testbed onboard --prepare-device target/debug/prepare-device \\
        --prepare-serial-request target/debug/prepare-serial-request \\
        --device-service-url http://127.0.0.1:8650/v1/ --model bench/assertions/example-box.model \\
        --account-key bench/assertions/serial.account-key --device-folder device --proposed-serial SN-0001";

/// Register a device as snapd does, with any hooks and any model service, and print its serial
/// assertion
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Hook prepare-device [default: the hook of --gadget, if it has one]
    #[arg(long, value_name = "EXE")]
    prepare_device: Option<PathBuf>,
    /// Hook prepare-serial-request [default: the hook of --gadget, if it has one]
    #[arg(long, value_name = "EXE")]
    prepare_serial_request: Option<PathBuf>,
    /// Base address of the model service. Overrides the gadget's option device-service.url
    #[arg(long, value_name = "URL")]
    device_service_url: Option<String>,
    /// Model assertion [default: one that the testbed signs]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Account-key that may sign the serial. Without one, the signature is not verified
    #[arg(long, value_name = "FILE")]
    account_key: Vec<PathBuf>,
    /// CA certificates (PEM) for an https service
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/ssl/certs/ca-certificates.crt"
    )]
    certificates: PathBuf,
    #[command(flatten)]
    device: DeviceArguments,
    /// Serial to propose. Overrides the gadget's option registration.proposed-serial
    #[arg(long, value_name = "SERIAL")]
    proposed_serial: Option<String>,
    /// Maximum number of changes (become-operational). snapd's pauses of minutes and hours between
    /// them are skipped
    #[arg(long, value_name = "N", default_value_t = 1)]
    attempts: u32,
    /// Maximum number of runs of request-serial in a change. snapd makes 15 for a request-id
    #[arg(long, value_name = "N", default_value_t = 15)]
    runs: u32,
    /// Pause before request-serial runs again. snapd waits 60 seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    poll_seconds: Duration,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let serial = onboard::register(&arguments.into(), &mut |line| eprintln!("{line}"))?;
    print!("{serial}");
    Ok(())
}

impl From<Arguments> for Options {
    fn from(arguments: Arguments) -> Self {
        Options {
            prepare_device: arguments.prepare_device,
            prepare_serial_request: arguments.prepare_serial_request,
            device_service_url: arguments.device_service_url,
            proposed_serial: arguments.proposed_serial,
            model: arguments.model,
            account_keys: arguments.account_key,
            certificates: arguments.certificates,
            device: arguments.device.into(),
            attempts: arguments.attempts,
            runs: arguments.runs,
            pause: arguments.poll_seconds,
        }
    }
}

fn seconds(argument: &str) -> Result<Duration> {
    let seconds: f64 = argument.parse().context("give a number of seconds")?;
    Duration::try_from_secs_f64(seconds).context("give a number of seconds that is not negative")
}
