//! `testbed onboard`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use testbed::onboard::{self, Options};

use crate::device::DeviceArguments;

/// Registers a device as snapd does, with any hooks and any model service; its serial assertion goes to stdout
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The gadget's hook prepare-device; without it that of --gadget, or none
    #[arg(long, value_name = "EXE")]
    prepare_device: Option<PathBuf>,
    /// The gadget's hook prepare-serial-request; without it that of --gadget, or none
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
    #[command(flatten)]
    device: DeviceArguments,
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

fn seconds(text: &str) -> Result<Duration> {
    let seconds: f64 = text.parse().context("give a number of seconds")?;
    Duration::try_from_secs_f64(seconds).context("give a number of seconds from 0 on")
}
