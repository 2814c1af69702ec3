//! Hook `install-device`: makes the hardware identity while the device is installed, and on a factory boot hands it to the
//! line.
//!
//! snapd runs it in install mode and on a factory reset, before the device boots into run mode. What it asks with
//! `snapctl reboot` happens when the installation is done.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::bail;
use hardware_identity::config::{OPTION, Settings};
use hardware_identity::delivery::Parcel;
use hardware_identity::environment::SnapEnvironment;
use hardware_identity::export;
use hardware_identity::identity::{self, Identity};
use hardware_identity::outcome;
use hardware_identity::patience::Patience;
use hardware_identity::record::RecordFolder;
use hardware_identity::snapctl::{self, SystemMode};
use hardware_identity::tpm::silence_tss_log;

const PROGRAM: &str = "install-device";

fn main() -> ExitCode {
    silence_tss_log();
    outcome::finish(PROGRAM, run())
}

fn run() -> anyhow::Result<()> {
    let environment = SnapEnvironment::read();
    let options = snapctl::get(&[OPTION])?;
    let settings = environment.settings(options.get(OPTION))?;
    let device = Device {
        records: environment.hook_records()?,
        settings,
    };
    let SystemMode { mode, factory } = snapctl::system_mode()?;
    match (mode.as_str(), factory) {
        ("install", true) => device.make_for_the_line(),
        ("install", false) => device.make_early(),
        // Whether the image is for a factory says nothing about a device that has left it.
        ("factory-reset", _) => device.compare(),
        _ => bail!(
            "install-device works in install mode and on a factory reset, and snapd says that the system mode is {mode}. \
             Let snapd run it"
        ),
    }
}

struct Device {
    settings: Settings,
    records: RecordFolder,
}

impl Device {
    /// On a factory boot: the identity, the export, and only then the end of the installation.
    fn make_for_the_line(&self) -> anyhow::Result<()> {
        let outcome = self.hand_over();
        if let (Err(error), Some(target)) = (&outcome, &self.settings.factory.export) {
            target.say_failure(&format!("{error:#}"));
        }
        outcome?;
        // The very last step: snapd is asked when all else has worked.
        if let Some(stop) = self.settings.factory.then {
            snapctl::stop_after_installation(stop)?;
        }
        Ok(())
    }

    fn hand_over(&self) -> anyhow::Result<()> {
        // Looked at first, so that no identity is made of which the line would not hear.
        let wanted = export::on_factory_boot(&self.settings)?;
        let identity = self.make()?;
        let Some((target, description)) = wanted else {
            return Ok(());
        };
        // With the time of the record, a further run gives the same bytes.
        let export = description.export(&identity, &identity.record.created)?;
        target.deliver(&Parcel {
            hardware_id: &export.hardware_id,
            key: &export.hardware_id_key,
            document: &export.document()?,
            line: &export.line()?,
        })?;
        Ok(())
    }

    /// In any other installation: so that the first boot is quicker. prepare-device makes it just as well, and a device that is
    /// installed can say what is wrong with its TPM.
    fn make_early(&self) -> anyhow::Result<()> {
        match self.make() {
            Err(error @ identity::Error::AnotherTpm { .. }) => Err(error.into()),
            Err(error) => {
                eprintln!("{PROGRAM}: warning: prepare-device has to make the hardware identity: {error}.");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// On a factory reset: the record has survived on ubuntu-save, and the TPM has to make that identity still.
    fn compare(&self) -> anyhow::Result<()> {
        if self.records.load()?.is_none() {
            eprintln!(
                "{PROGRAM}: warning: there is no record of the hardware identity to compare with; it is recorded anew."
            );
        }
        self.make()?;
        Ok(())
    }

    fn make(&self) -> Result<Identity, identity::Error> {
        let mut patience = Patience::new(self.settings.tpm_wait);
        let identity = identity::ensure(&self.settings, &mut patience, &self.records)?;
        for notice in identity.notices(&self.settings) {
            eprintln!("{PROGRAM}: warning: {notice}.");
        }
        Ok(identity)
    }
}
