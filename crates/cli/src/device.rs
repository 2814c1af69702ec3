//! The device that the tool runs on: its settings, its record and its TPM.

use std::env;
use std::time::Duration;

use failure::Status;
use hardware_identity::config::{ConfigError, OPTION, Settings};
use hardware_identity::environment::SnapEnvironment;
use hardware_identity::identity::{self, HardwareIdentity, IdentityError, KeyCheck, RecordDirectory};
use hardware_identity::retry::RetryBudget;
use hardware_identity::snapctl::{self, SnapctlError};
use hardware_identity::tpm::Tpm;
use miette::Diagnostic;
use thiserror::Error;

/// Longest time to wait for the TPM. A person is waiting; an unattended hook waits longer.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

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
}

impl LocalDevice {
    /// Reads the settings as the hooks do. snapd gives the configuration of the snap only to an app of
    /// the snap.
    pub(crate) fn read() -> Result<Self, DeviceFailure> {
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
            records: environment.record_directory(),
        })
    }

    /// Opens the identity and passes it to `work`. It is derived from the TPM's seed, as the results
    /// leave the device.
    pub(crate) fn open<T>(
        &self,
        work: impl FnMut(&mut Tpm<'_>, &HardwareIdentity) -> Result<T, IdentityError>,
    ) -> Result<T, DeviceFailure> {
        let mut budget = RetryBudget::new(self.settings.tpm_wait.min(LONGEST_WAIT));
        let parameters = self.settings.identity();
        let records = self.records.as_ref();
        let result = identity::open(&parameters, &mut budget, records, KeyCheck::Derivation, work);
        Ok(result?)
    }
}
