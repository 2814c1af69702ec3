//! The options of `onboard` and `hook` that describe the device.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use testbed::DeviceOptions;

#[derive(Args, Debug)]
pub(crate) struct DeviceArguments {
    /// Directory that keeps the device between runs: configuration, snap directories, device key
    /// and software TPM
    #[arg(long = "device-folder", value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Unpacked gadget snap: $SNAP, its settings and hooks, and environment and base of its
    /// snap.yaml
    #[arg(long, value_name = "DIR")]
    gadget: Option<PathBuf>,
    /// Settings of the gadget, copied to $SNAP/hardware-identity.toml
    #[arg(long, value_name = "FILE", conflicts_with = "gadget")]
    settings: Option<PathBuf>,
    /// Option of the gadget to set first, as snap set does
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, Value)>,
    /// Environment variable for the hooks, as `environment:` in snap.yaml sets it: for a PKCS#11 module
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
}

impl From<DeviceArguments> for DeviceOptions {
    fn from(arguments: DeviceArguments) -> Self {
        DeviceOptions {
            directory: arguments.directory,
            gadget: arguments.gadget,
            settings: arguments.settings,
            set: arguments.set,
            variables: arguments.env,
        }
    }
}

fn variable(argument: &str) -> Result<(String, String)> {
    let (name, value) = argument.split_once('=').context("give NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Parses NAME=VALUE. As in `snap set`, VALUE is JSON if it parses, else a string.
fn assignment(argument: &str) -> Result<(String, Value)> {
    let (name, value) = argument.split_once('=').context("give NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}
