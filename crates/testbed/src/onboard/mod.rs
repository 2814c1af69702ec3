//! snapd's registration of a device (its change `become-operational`), with any hooks and any model service.
//!
//! Source: snapd's overlord/devicestate (2.77), handlers_serial.go and devicemgr.go: the order of the steps, what is read
//! from the gadget's configuration and when, which failures are tried again, and which end the change. Error texts
//! are the testbed's own, but for the one that a gadget author has to recognise on the device.
//!
//! | module | is |
//! |---|---|
//! | `change` | one change: prepare-device, device key, request-serial with its re-runs |
//! | `gadget` | what snapd reads from the gadget's configuration |
//! | `body` | `registration.body`: how it is read and sent |
//! | `device_key`, `model` | what the device signs with, and what it is |
//! | `service` | HTTP, and what snapd makes of each status |
//! | `serial` | the checks on the serial that came back |

mod body;
mod change;
mod device_key;
mod gadget;
mod model;
mod serial;
mod serial_request;
mod service;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use snap_assertions::Assertion;

use crate::DeviceOptions;
use change::Change;
use model::DeviceModel;
use serial::TrustedKeys;

/// What a registration is tried with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hook `prepare-device`; `None` for that of the device's gadget, if it has one.
    pub prepare_device: Option<PathBuf>,
    /// The hook `prepare-serial-request`; `None` for that of the device's gadget, if it has one.
    pub prepare_serial_request: Option<PathBuf>,
    /// Stands over the option `device-service.url` that the gadget sets.
    pub device_service_url: Option<String>,
    /// Stands over the option `registration.proposed-serial` that the gadget sets.
    pub proposed_serial: Option<String>,
    /// The model assertion. Without one, the testbed signs one of its own.
    pub model: Option<PathBuf>,
    /// Account-keys that may have signed the serial. Without any, its signature is not verified.
    pub account_keys: Vec<PathBuf>,
    /// Certificates in PEM that an https service is trusted by.
    pub certificates: PathBuf,
    /// The device.
    pub device: DeviceOptions,
    /// How many changes there may be.
    pub attempts: u32,
    /// How often `request-serial` may run in a change.
    pub runs: u32,
    /// The pause before `request-serial` runs again.
    pub pause: Duration,
}

/// Registers the device and returns its serial, and tells `log` of each step.
///
/// # Errors
/// That of the last attempt: at which step it failed, why, and what to do.
pub fn register(options: &Options, log: &mut dyn FnMut(&str)) -> Result<Assertion> {
    ensure!(
        options.attempts > 0 && options.runs > 0,
        "no attempt is allowed. Give --attempts and --runs of at least 1"
    );
    let device = options.device.device()?;
    let (_tpm, tcti) = options.device.tpm()?;
    let model = match &options.model {
        Some(file) => DeviceModel::read(file)?,
        None => {
            log(
                "model: none given, so it is one of the testbed's own; a service that knows its models refuses it",
            );
            DeviceModel::own(device.folder())?
        }
    };
    let trusted = TrustedKeys::read(&options.account_keys)?;
    let mut attempt = 1;
    loop {
        log(&format!(
            "attempt {attempt} of {}: change become-operational",
            options.attempts
        ));
        let change = Change {
            options,
            device: &device,
            model: &model,
            trusted: &trusted,
            tcti: tcti.as_deref(),
        };
        match change.run(log) {
            Ok(serial) => return Ok(serial),
            Err(error) if attempt == options.attempts && options.model.is_none() => {
                return Err(error.context("with a model of the testbed's own (there was no --model)"));
            }
            Err(error) if attempt == options.attempts => return Err(error),
            Err(error) => {
                log(&format!("the change failed: {error:#}"));
                log(&format!(
                    "snapd would wait {} before the next change",
                    wait_after(attempt)
                ));
            }
        }
        attempt += 1;
    }
}

/// The pause that snapd makes after its `attempt`th failed change (devicemgr.go, ensureOperationalShouldBackoff).
fn wait_after(attempt: u32) -> String {
    let minutes = 5u64 << (attempt - 1).min(20);
    match minutes > 12 * 60 {
        true => "24 hours".to_owned(),
        false => format!("{minutes} minutes"),
    }
}

#[cfg(test)]
mod tests {
    use super::wait_after;

    #[test]
    fn waits_between_changes() {
        assert_eq!(wait_after(1), "5 minutes");
        assert_eq!(wait_after(2), "10 minutes");
        assert_eq!(wait_after(8), "640 minutes");
        assert_eq!(wait_after(9), "24 hours");
        assert_eq!(wait_after(100), "24 hours");
    }
}
