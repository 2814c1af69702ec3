//! Hook `install-device`: makes the hardware identity while the device is installed. On a factory
//! boot it also delivers the export to the factory line.
//!
//! snapd runs it in install mode and on a factory reset, before the device boots into run mode. A
//! shutdown that it asks for with `snapctl reboot` happens when the installation is done.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use failure::Diagnostic;
use hardware_identity::config::{OPTION, Settings};
use hardware_identity::environment::SnapEnvironment;
use hardware_identity::evidence::{CollectedEvidence, EvidenceMessage};
use hardware_identity::identity::{self, HardwareIdentity, IdentityError, RecordDirectory, WithTpm};
use hardware_identity::retry::RetryBudget;
use hardware_identity::snapctl::{self, SystemMode};
use hardware_identity::start::start;
use hardware_identity::tpm::{Tpm, TpmDeadline, TpmError};
use thiserror::Error;

const PROGRAM: &str = "install-device";

type Outcome = Result<(), Box<dyn Diagnostic>>;
/// Reports that the TPM hangs, and returns the exit status. Boxed to keep the hook small.
type ReportTimeout = Box<dyn Fn(TpmError) -> i32 + Send + Sync>;

/// The hook runs in a mode in which nothing is installed.
#[derive(Debug, Error, Diagnostic)]
#[error("the system mode is {0}, but install-device works in install mode and on a factory reset")]
#[diagnostic(code("system-mode-unsupported"), help("Let snapd run this hook"))]
struct UnsupportedMode(String);

/// The identity was not made in install mode.
#[derive(Debug, Error, Diagnostic)]
#[error("prepare-device has to make the hardware identity: {0}")]
#[diagnostic(forward(0))]
struct Postponed(IdentityError);

/// A factory reset found no record.
#[derive(Debug, Error, Diagnostic)]
#[error("there is no record of the hardware identity to compare with, so a new one is written")]
#[diagnostic(
    code("record-missing"),
    help("Check that the issuer has imported the hardware identity of this device")
)]
struct NoRecord;

fn main() -> ExitCode {
    if let Some(status) = start() {
        return status;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure::report(PROGRAM, &*error);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome {
    let environment = SnapEnvironment::read();
    let options = snapctl::get(&[OPTION])?;
    let settings = environment.settings(options.get(OPTION))?;
    let installation = Installation {
        records: environment.hook_record_directory()?,
        settings,
    };
    let SystemMode { mode, factory } = snapctl::system_mode()?;
    match (mode.as_str(), factory) {
        ("install", true) => installation.factory_boot(),
        ("install", false) => installation.make_early(),
        // The factory flag of the image says nothing about a device that has left the factory.
        ("factory-reset", _) => installation.factory_reset(),
        _ => Err(UnsupportedMode(mode).into()),
    }
}

/// The installation of this device.
struct Installation {
    settings: Settings,
    records: RecordDirectory,
}

impl Installation {
    /// Makes the identity, delivers the export, and only then asks for the shutdown.
    fn factory_boot(&self) -> Outcome {
        let outcome = self.make_and_export();
        if let (Err(error), Some(target)) = (&outcome, &self.settings.factory.export) {
            target.announce_failure(&failure::line(&**error));
        }
        outcome?;
        // The very last step: snapd is asked only if everything has worked.
        if let Some(shutdown) = self.settings.factory.then {
            snapctl::shut_down_after_installation(shutdown)?;
        }
        Ok(())
    }

    fn make_and_export(&self) -> Outcome {
        // Checked first, so that no identity is made that cannot be exported.
        let wanted = self.settings.factory_export()?;
        let target = self.settings.factory.export.clone();
        let needs_evidence = wanted.is_some() && self.settings.factory.evidence;
        let report = Box::new(move |error| {
            failure::report(PROGRAM, &error);
            if let Some(target) = &target {
                target.announce_failure(&failure::line(&error));
            }
            1
        });
        let mut collected = None;
        let mut collect = |tpm: &mut Tpm<'_>| {
            collected = Some(CollectedEvidence::read(tpm, None)?);
            Ok(())
        };
        let identity = match needs_evidence {
            true => self.make_with(report, Some(&mut collect)),
            false => self.make(report),
        }?;
        if let Some((target, headers)) = wanted {
            // With the time of the record, a further run gives the same bytes.
            let export = headers.export(&identity, &identity.record.created)?;
            let evidence = collected
                .map(|collected| collected.into_evidence(PROGRAM))
                .transpose()?
                .map(|evidence| EvidenceMessage::new(export.hardware_id(), &identity, evidence))
                .transpose()?;
            target.deliver(&export, evidence.as_ref())?;
        }
        Ok(())
    }

    /// Makes the identity in any other installation, so that the first boot is quicker. A failure
    /// is only a warning: prepare-device can make the identity too, and an installed device can
    /// report what is wrong with its TPM or token.
    fn make_early(&self) -> Outcome {
        let outcome = self.make(Box::new(|error| {
            failure::warn(PROGRAM, &Postponed(error.into()));
            0
        }));
        match outcome {
            Err(error) if error.is_of_other_identity() => return Err(error.into()),
            Err(error) => failure::warn(PROGRAM, &Postponed(error)),
            Ok(_) => {}
        }
        Ok(())
    }

    /// Compares the identity with the record, which survived on ubuntu-save.
    fn factory_reset(&self) -> Outcome {
        if self.records.load()?.is_none() {
            failure::warn(PROGRAM, &NoRecord);
        }
        self.make(Box::new(|error| {
            failure::report(PROGRAM, &error);
            1
        }))?;
        Ok(())
    }

    /// Makes the identity. If the TPM hangs, `report` reports the error and returns the exit status.
    fn make(&self, report: ReportTimeout) -> Result<HardwareIdentity, IdentityError> {
        self.make_with(report, None)
    }

    /// Makes the identity, and calls `in_tpm` with its key.
    fn make_with(
        &self,
        report: ReportTimeout,
        in_tpm: Option<&mut WithTpm<'_>>,
    ) -> Result<HardwareIdentity, IdentityError> {
        let parameters = self.settings.identity();
        let deadline = TpmDeadline::of_hook(report);
        let mut budget = RetryBudget::new(self.settings.tpm_wait).with_deadline(deadline);
        let identity = identity::ensure_with(&parameters, &mut budget, &self.records, in_tpm)?;
        for warning in identity.warnings(&parameters) {
            failure::warn(PROGRAM, &warning);
        }
        Ok(identity)
    }
}
