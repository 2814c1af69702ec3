//! `testbed hook`.

use std::ffi::OsStr;
use std::mem;
use std::path::Path;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;
use testbed::{Device, DeviceOptions, SystemMode};

use crate::device::DeviceArguments;

/// Runs one hook as snapd does, such as configure or install-device; what it prints is passed on
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The hook's executable, named as the hook is; with --gadget a name without a path is the gadget's hook
    #[arg(value_name = "HOOK")]
    hook: String,
    /// What snapctl system-mode tells
    #[arg(long, value_name = "MODE", default_value = "run",
          value_parser = ["run", "install", "recover", "factory-reset"])]
    system_mode: String,
    /// Has snapctl system-mode tell of a factory boot, as snapd does in mode install alone
    #[arg(long)]
    factory: bool,
    #[command(flatten)]
    device: DeviceArguments,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let mut options: DeviceOptions = arguments.device.into();
    let (_tpm, tcti) = options.tpm()?;
    let is_configure = Path::new(&arguments.hook).file_name() == Some("configure".as_ref());
    // snapd keeps what `snap set` has set only if this hook takes it.
    let for_configure = match is_configure {
        true => mem::take(&mut options.set),
        false => Vec::new(),
    };
    let device = options.device()?;
    let before = device.system_mode()?;
    device.set_system_mode(SystemMode {
        mode: arguments.system_mode,
        factory: arguments.factory,
        ..before.clone()
    })?;
    let outcome = run_hook(&device, &arguments.hook, tcti.as_deref(), for_configure);
    // The next command finds a kept device in the mode in which it was.
    device.set_system_mode(before)?;
    outcome
}

fn run_hook(device: &Device, hook: &str, tcti: Option<&OsStr>, snap_set: Vec<(String, Value)>) -> Result<()> {
    let executable = device.hook_file(hook.as_ref())?;
    device.take_reboot_request()?;
    let mut command = device.hook(&executable).tcti(tcti);
    for (name, value) in snap_set {
        command = command.snap_set(&name, value);
    }
    let outcome = command.run()?;
    print!("{}", outcome.stdout);
    eprint!("{}", outcome.stderr);
    if let Some(what) = device.take_reboot_request()? {
        eprintln!("testbed: the hook asked snapd for {what}.");
    }
    if outcome.timed_out {
        bail!("the hook was killed after 10 minutes, the time that snapd gives it. Make it end sooner");
    }
    if !outcome.status.success() {
        bail!(
            "the hook {hook} failed with {}. snapd shows what it printed above",
            outcome.status
        );
    }
    Ok(())
}
