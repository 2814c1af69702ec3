//! snapd's registration of a device (its change `become-operational`), with any hooks and any model
//! service.
//!
//! Source: snapd's overlord/devicestate (2.77), handlers_serial.go and devicemgr.go: the order of
//! the steps, which options of the gadget are read and when, which failures are retried, and which
//! end the change. The error messages are the testbed's own, except one of snapd that a gadget
//! author has to recognise on the device.
//!
//! | module | content |
//! |---|---|
//! | `change` | one change: prepare-device, device key, and all runs of request-serial |
//! | `gadget` | the options of the gadget that snapd reads |
//! | `body` | `registration.body`: how snapd reads and sends it |
//! | `device_key`, `model` | the device key and the model of the device |
//! | `serial_request` | the signed serial-request |
//! | `service` | HTTP, and how snapd treats each status |
//! | `serial` | the checks of the serial |

mod body;
mod change;
pub(crate) mod device_key;
mod gadget;
pub(crate) mod model;
pub(crate) mod serial;
mod serial_request;
pub(crate) mod service;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use snap_assertions::Assertion;

use crate::DeviceOptions;
use change::Change;
use model::DeviceModel;
use serial::TrustedKeys;

/// The options of a registration.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hook `prepare-device`; `None` for the hook of the gadget, if it has one.
    pub prepare_device: Option<PathBuf>,
    /// The hook `prepare-serial-request`; `None` for the hook of the gadget, if it has one.
    pub prepare_serial_request: Option<PathBuf>,
    /// Overrides the gadget's option `device-service.url`.
    pub device_service_url: Option<String>,
    /// Overrides the gadget's option `registration.proposed-serial`.
    pub proposed_serial: Option<String>,
    /// The file with the model assertion; `None` for a model that the testbed signs.
    pub model: Option<PathBuf>,
    /// Files with account-keys that may sign the serial. If empty, the signature is not verified.
    pub account_keys: Vec<PathBuf>,
    /// The file with the CA certificates (PEM) for an https service.
    pub certificates: PathBuf,
    /// The device.
    pub device: DeviceOptions,
    /// The maximum number of changes.
    pub attempts: u32,
    /// The maximum number of runs of `request-serial` in a change.
    pub runs: u32,
    /// The pause before `request-serial` runs again.
    pub pause: Duration,
}

/// Registers the device and returns its serial. `log` gets one line or more for each step.
///
/// # Errors
/// The error of the last attempt, with step, cause and advice.
pub fn register(options: &Options, log: &mut dyn FnMut(&str)) -> Result<Assertion> {
    ensure!(
        options.attempts > 0 && options.runs > 0,
        "--attempts or --runs is 0. Give at least 1"
    );
    let device = options.device.device()?;
    let (_tpm, tcti) = options.device.tpm()?;
    let model = match &options.model {
        Some(file) => DeviceModel::read(file)?,
        None => {
            log(
                "model: signed by the testbed, since --model is not set; a service that checks the model \
                 refuses it",
            );
            DeviceModel::generated(device.directory())?
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
                return Err(error.context("with a model that the testbed signed (no --model)"));
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

/// The pause of snapd after failed change number `attempt` (devicemgr.go,
/// ensureOperationalShouldBackoff).
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
