//! This device as the tool sees it: settings, record, and how long to wait for the TPM.

use std::env;
use std::process;
use std::time::Duration;

use hardware_identity::config::{OPTION, Settings};
use hardware_identity::environment::SnapEnvironment;
use hardware_identity::identity::{self, HardwareIdentity, IdentityError, KeyCheck, RecordDirectory};
use hardware_identity::retry::RetryBudget;
use hardware_identity::snapctl;
use hardware_identity::tpm::{Tpm, TpmDeadline};

/// Somebody is watching: no time to wait as long as an unattended hook does.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The limit for all TPM commands. A slow TPM takes a minute to make an RSA key.
const TPM_LIMIT: Duration = Duration::from_secs(3 * 60);

pub(crate) struct Device {
    pub(crate) settings: Settings,
    pub(crate) records: Option<RecordDirectory>,
}

impl Device {
    /// Reads the settings as the hooks do; the snap's configuration only where this runs as an app of the
    /// snap.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let environment = SnapEnvironment::read();
        let in_snap = ["SNAP_COOKIE", "SNAP_CONTEXT"]
            .iter()
            .any(|name| env::var_os(name).is_some());
        let options = match in_snap {
            true => snapctl::get(&[OPTION])?,
            false => serde_json::Map::new(),
        };
        Ok(Device {
            settings: environment.settings(options.get(OPTION))?,
            records: environment.record_directory(),
        })
    }

    /// Opens the identity and hands it to `work`. What the tool says of it leaves the device, so that nothing is taken on
    /// trust.
    pub(crate) fn open<T>(
        &self,
        work: impl FnMut(&mut Tpm<'_>, &HardwareIdentity) -> Result<T, IdentityError>,
    ) -> anyhow::Result<T> {
        let deadline = TpmDeadline::new(TPM_LIMIT, |error| {
            failure::report("hardware-identity", &error);
            process::exit(failure::Status::Device as i32);
        });
        let wait = self.settings.tpm_wait.min(LONGEST_WAIT);
        let mut budget = RetryBudget::new(wait).with_deadline(deadline);
        let records = self.records.as_ref();
        let outcome = identity::open(
            &self.settings.identity(),
            &mut budget,
            records,
            KeyCheck::Derivation,
            work,
        );
        Ok(outcome?)
    }
}
