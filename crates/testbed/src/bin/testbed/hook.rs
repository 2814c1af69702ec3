//! `testbed hook`.

use anyhow::{Result, bail};
use clap::Args;
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
    let options: DeviceOptions = arguments.device.into();
    let device = options.device()?;
    let before = device.system_mode()?;
    device.set_system_mode(SystemMode {
        mode: arguments.system_mode,
        factory: arguments.factory,
        ..before.clone()
    })?;
    let outcome = run_hook(&options, &device, &arguments.hook);
    // The next command finds a kept device in the mode in which it was.
    device.set_system_mode(before)?;
    outcome
}

fn run_hook(options: &DeviceOptions, device: &Device, hook: &str) -> Result<()> {
    let (_tpm, tcti) = options.tpm()?;
    let executable = device.hook_file(hook.as_ref())?;
    device.take_reboot_request()?;
    let outcome = device.hook(&executable).tcti(tcti.as_deref()).run()?;
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
