//! The device that the tool runs on: its settings, its record and its key.

use std::env;
use std::process;
use std::time::Duration;

use failure::Status;
use hardware_identity::config::{ConfigError, OPTION, Settings};
use hardware_identity::environment::SnapEnvironment;
use hardware_identity::identity::{
    self, HardwareIdentity, IdentityError, KeyCheck, OpenKey, RecordDirectory,
};
use hardware_identity::retry::RetryBudget;
use hardware_identity::snapctl::{self, SnapctlError};
use hardware_identity::tpm::{TpmDeadline, TpmError};
use miette::Diagnostic;
use thiserror::Error;

use crate::error::{self, ToolError};

/// Longest time to wait for the TPM. A person is waiting; an unattended hook waits longer.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The limit for all TPM commands. A slow TPM takes a minute to make an RSA key.
const TPM_LIMIT: Duration = Duration::from_secs(3 * 60);

/// Why settings or identity of this device cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum DeviceFailure {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Settings(#[from] ConfigError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Snapctl(#[from] SnapctlError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Identity(#[from] IdentityError),
}

impl DeviceFailure {
    pub(crate) fn status(&self) -> Status {
        match self {
            DeviceFailure::Settings(_) => Status::BadInput,
            DeviceFailure::Snapctl(_) | DeviceFailure::Identity(_) => Status::Device,
        }
    }
}

/// Settings and record of this device.
pub(crate) struct LocalDevice {
    pub(crate) settings: Settings,
    pub(crate) records: Option<RecordDirectory>,
    /// Report failures as JSON too.
    json: bool,
}

impl LocalDevice {
    /// Reads the settings as the hooks do. snapd gives the configuration of the snap only to an app of
    /// the snap.
    pub(crate) fn read(json: bool) -> Result<Self, DeviceFailure> {
        let environment = SnapEnvironment::read();
        let in_snap = ["SNAP_COOKIE", "SNAP_CONTEXT"]
            .iter()
            .any(|name| env::var_os(name).is_some());
        let options = match in_snap {
            true => snapctl::get(&[OPTION])?,
            false => serde_json::Map::new(),
        };
        Ok(LocalDevice {
            settings: environment.settings(options.get(OPTION))?,
            json,
            records: environment.record_directory(),
        })
    }

    /// Opens the identity and passes it to `work`. A key in the TPM is derived from its seed, as the
    /// results leave the device.
    pub(crate) fn open<T>(
        &self,
        work: impl FnMut(&mut dyn OpenKey<'_>, &HardwareIdentity) -> Result<T, IdentityError>,
    ) -> Result<T, DeviceFailure> {
        let json = self.json;
        let deadline = TpmDeadline::new(TPM_LIMIT, move |error| end(error, json));
        let wait = self.settings.tpm_wait.min(LONGEST_WAIT);
        let mut budget = RetryBudget::new(wait).with_deadline(deadline);
        let parameters = self.settings.identity();
        let records = self.records.as_ref();
        let result = identity::open(&parameters, &mut budget, records, KeyCheck::Derivation, work);
        Ok(result?)
    }
}

/// Ends the program when the TPM takes too long: the thread that talks to it cannot be stopped.
fn end(error: TpmError, json: bool) {
    let failure = DeviceFailure::from(IdentityError::from(error));
    error::report(&ToolError::from(failure), json);
    process::exit(Status::Device as i32);
}
