//! The subcommand `testbed hook`.

use std::ffi::OsStr;
use std::mem;
use std::path::Path;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;
use testbed::{Device, DeviceOptions, SystemMode};

use crate::device::DeviceArguments;

const EXAMPLES: &str = "\
Examples:
  Run configure of an unpacked gadget with a changed option:
    testbed hook --gadget my-gadget --set hardware-identity.tpm-wait=5 configure

  Run install-device as on a factory boot:
    testbed hook --gadget my-gadget --system-mode install --factory install-device

  Run one executable, and keep the device for the next command:
    testbed hook --device-folder device target/debug/prepare-device";

/// Run one hook, such as configure or install-device, as snapd does, and print its output
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Executable with the name of the hook. With --gadget, a name without a slash is a hook of the
    /// gadget
    #[arg(value_name = "HOOK")]
    hook: String,
    /// Mode that snapctl system-mode prints
    #[arg(long, value_name = "MODE", default_value = "run",
          value_parser = ["run", "install", "recover", "factory-reset"])]
    system_mode: String,
    /// Let snapctl system-mode report a factory boot. snapd does so only in mode install
    #[arg(long)]
    factory: bool,
    #[command(flatten)]
    device: DeviceArguments,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let mut options: DeviceOptions = arguments.device.into();
    let (_tpm, tcti) = options.tpm()?;
    let is_configure = Path::new(&arguments.hook).file_name() == Some("configure".as_ref());
    // snapd keeps the options of `snap set` only if the hook configure accepts them.
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
    // The mode is only for this run: a kept device returns to its earlier mode.
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
        eprintln!("testbed: the hook requested: {what}.");
    }
    if outcome.timed_out {
        bail!("the hook was killed after 10 minutes, the time limit of snapd. Make it end earlier");
    }
    if !outcome.status.success() {
        bail!(
            "the hook {hook} failed with {}. Read its output above",
            outcome.status
        );
    }
    Ok(())
}
