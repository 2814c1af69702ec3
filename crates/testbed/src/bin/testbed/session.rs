//! The subcommand `testbed session`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use testbed::session::{self, Options};

const EXAMPLE: &str = "\
Example:
  Register a device, and request a resource with a session:
    testbed onboard --gadget my-gadget --device-folder device --model my.model \\
        --device-service-url http://127.0.0.1:8650/v1/ >serial
    testbed session --device-folder device --serial serial --model my.model \\
        --store-url http://127.0.0.1:8650/";

/// Request a resource of the brand's store with a device session as snapd does, and print the answer
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// Directory of a device that was registered with testbed onboard. It keeps the session
    #[arg(long = "device-folder", value_name = "DIR")]
    directory: PathBuf,
    /// Serial assertion, as testbed onboard prints it
    #[arg(long, value_name = "FILE")]
    serial: PathBuf,
    /// Model assertion
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Base address of the store
    #[arg(long, value_name = "URL")]
    store_url: String,
    /// Resource to request
    #[arg(long, value_name = "PATH", default_value = "/api/v1/device")]
    resource: String,
    /// CA certificates (PEM) for an https store
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/ssl/certs/ca-certificates.crt"
    )]
    certificates: PathBuf,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let options = Options {
        directory: arguments.directory,
        serial: arguments.serial,
        model: arguments.model,
        store_url: arguments.store_url,
        resource: arguments.resource,
        certificates: arguments.certificates,
    };
    let answer = session::request(&options, &mut |line| eprintln!("{line}"))?;
    println!("{}", answer.trim_end());
    Ok(())
}
