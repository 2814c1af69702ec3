//! What `onboard` and `hook` are told of the device.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use testbed::DeviceOptions;

#[derive(Args, Debug)]
pub(crate) struct DeviceArguments {
    /// Where the device is kept between runs: configuration, snap folders, device key, software TPM
    #[arg(long, value_name = "DIR")]
    device_folder: Option<PathBuf>,
    /// An unpacked gadget snap: $SNAP, with its settings, hooks, and the environment and base of its snap.yaml
    #[arg(long, value_name = "DIR")]
    gadget: Option<PathBuf>,
    /// The gadget's settings, copied to $SNAP/hardware-identity.toml
    #[arg(long, value_name = "FILE", conflicts_with = "gadget")]
    settings: Option<PathBuf>,
    /// Sets an option of the gadget beforehand, as snap set does
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, Value)>,
}

impl From<DeviceArguments> for DeviceOptions {
    fn from(arguments: DeviceArguments) -> Self {
        DeviceOptions {
            folder: arguments.device_folder,
            gadget: arguments.gadget,
            settings: arguments.settings,
            set: arguments.set,
        }
    }
}

/// JSON if it parses, else a string, as for `snap set`.
fn assignment(text: &str) -> Result<(String, Value)> {
    let (name, value) = text.split_once('=').context("give NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}
