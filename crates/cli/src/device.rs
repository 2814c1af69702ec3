//! The device that the tool runs on: its settings, its record and its TPM.

use std::env;
use std::fmt::Display;
use std::time::Duration;

use failure::Status;
use hardware_identity::config::{OPTION, Settings};
use hardware_identity::environment::SnapEnvironment;
use hardware_identity::identity::{self, Identity, Recognition};
use hardware_identity::patience::Patience;
use hardware_identity::record::RecordFolder;
use hardware_identity::snapctl;
use hardware_identity::tpm::Tpm;
use miette::Diagnostic;
use thiserror::Error;

/// Longest time to wait for the TPM. A person is waiting; an unattended hook waits longer.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A failure of the device library.
// Until the errors of the device library have codes: then their types take the place of the strings.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum DeviceFailure {
    #[error("{cause}")]
    #[diagnostic(code("device"), help("{advice}"))]
    Device { cause: String, advice: String },
    #[error("{cause}")]
    #[diagnostic(code("settings"), help("{advice}"))]
    Settings { cause: String, advice: String },
}

impl DeviceFailure {
    fn device(error: impl Display) -> Self {
        let (cause, advice) = split(&error);
        DeviceFailure::Device { cause, advice }
    }

    fn settings(error: impl Display) -> Self {
        let (cause, advice) = split(&error);
        DeviceFailure::Settings { cause, advice }
    }

    pub(crate) fn status(&self) -> Status {
        match self {
            DeviceFailure::Device { .. } => Status::Device,
            DeviceFailure::Settings { .. } => Status::BadInput,
        }
    }
}

/// A gadget that cannot be checked.
// Until the errors of gadget-check have codes.
#[derive(Debug, Error, Diagnostic)]
#[error("{cause}")]
#[diagnostic(code("gadget-unreadable"), help("{advice}"))]
pub(crate) struct GadgetFailure {
    cause: String,
    advice: String,
}

impl GadgetFailure {
    pub(crate) fn new(error: impl Display) -> Self {
        let (cause, advice) = split(&error);
        GadgetFailure { cause, advice }
    }
}

fn split(error: &impl Display) -> (String, String) {
    let text = format!("{error:#}");
    let (cause, advice) = text.split_once(". ").unwrap_or((&text, "Check the input"));
    (cause.to_owned(), advice.to_owned())
}

/// Settings and record of this device.
pub(crate) struct LocalDevice {
    pub(crate) settings: Settings,
    pub(crate) records: Option<RecordFolder>,
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
            true => snapctl::get(&[OPTION]).map_err(DeviceFailure::device)?,
            false => serde_json::Map::new(),
        };
        let settings = environment.settings(options.get(OPTION));
        Ok(LocalDevice {
            settings: settings.map_err(DeviceFailure::settings)?,
            records: environment.records(),
        })
    }

    /// Opens the identity and passes it to `work`. It is derived from the TPM's seed, as the results
    /// leave the device.
    pub(crate) fn open<T>(
        &self,
        work: impl FnMut(&mut Tpm<'_>, &Identity) -> Result<T, identity::Error>,
    ) -> Result<T, DeviceFailure> {
        let mut patience = Patience::new(self.settings.tpm_wait.min(LONGEST_WAIT));
        let records = self.records.as_ref();
        identity::open(
            &self.settings,
            &mut patience,
            records,
            Recognition::ByDerivation,
            work,
        )
        .map_err(DeviceFailure::device)
    }
}
