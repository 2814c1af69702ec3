//! The durable state of a lot: a proven device is recorded, then its result is delivered.
//!
//! A device that is signed is in `lot.jsonl` first, with its assertion, then in the ledger, then in the
//! output. Whatever stops the station in between, the next start completes the last device, so that each
//! device gets one assertion. A device that is collected is in its files first, then in `lot.jsonl`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use identity_key::DigestForm;
use jiff::Timestamp;
use serde_json::value::RawValue;
use snap_assertions::{Assertion, SignOptions, Signer, Statement};

use super::clock::now;
use super::collect::DeviceFiles;
use super::done::{DoneDevice, DoneDevices, DoneLine, ProvenIdentity, SignedLine, done_file};
use super::error::{DeviceRefusal, LotError, NoResult};
use super::failures::{Failure, Failures};
use super::journal::Journal;
use super::output::AppendedOutput;
use super::shared_ledger::{KnownProofs, SharedLedger};
use crate::error::{PROGRAM, ToolError};
use crate::exchange::LotOutcome;
use crate::recorded_output::SignedExport;
use crate::sign::{DerForm, SignFailure};

/// Where the results of devices go.
#[derive(Clone)]
pub(super) enum Destination {
    /// Assertions to a file, with lines in a ledger.
    Sign {
        signer: Arc<dyn Signer + Send>,
        output: PathBuf,
        ledger: PathBuf,
        /// Of the ledger.
        proofs: KnownProofs,
    },
    /// The messages to a directory.
    Collect(PathBuf),
}

impl Destination {
    fn outcome(&self) -> LotOutcome {
        match self {
            Destination::Sign { .. } => LotOutcome::Signed,
            Destination::Collect(_) => LotOutcome::Collected,
        }
    }

    /// Refuses a lot whose devices have another destination: the last one may not be complete.
    fn check(&self, batch: &Path, done: &DoneDevices) -> Result<(), LotError> {
        let wanted = self.outcome();
        match done.all().last() {
            Some(last) if last.result != wanted => Err(LotError::Destination {
                batch: batch.to_owned(),
                found: last.result,
                wanted,
            }),
            _ => Ok(()),
        }
    }

    /// Signs the statement of a device, unless devices are collected. This may take minutes.
    pub(super) fn sign(&self, device: &ProvenDevice) -> Result<Option<Assertion>, ToolError> {
        let Destination::Sign { signer, .. } = self else {
            return Ok(None);
        };
        let time = Timestamp::now();
        let options = SignOptions {
            time: u32::try_from(time.as_second()).map_err(|_| SignFailure::Time(time))?,
            digest_form: device.identity.digest_form,
        };
        let signed = device.statement.sign(signer.as_ref(), &options);
        let assertion = signed.map_err(|reason| SignFailure::NotSigned {
            hardware_id: device.identity.hardware_id.clone(),
            reason,
        })?;
        Ok(Some(assertion))
    }
}

/// A device that has proven its key.
pub(super) struct ProvenDevice {
    pub(super) identity: ProvenIdentity,
    /// To be signed.
    pub(super) statement: Statement,
    /// The member `proof` of its line in the ledger.
    pub(super) proof: Box<RawValue>,
    pub(super) files: DeviceFiles,
}

/// The files of a lot, which this process alone writes.
pub(super) struct Recorder {
    done: DoneDevices,
    failures: Failures,
    delivery: Delivery,
    /// Its lock is that of the lot. It is dropped last: the next station opens it first.
    journal: Journal,
}

enum Delivery {
    Sign(Box<SignedDelivery>),
    Collect(PathBuf),
}

struct SignedDelivery {
    ledger: SharedLedger,
    output: AppendedOutput,
    /// A device that is in `lot.jsonl`, but may not be in the ledger or in the output.
    pending: Option<PendingAssertion>,
}

struct PendingAssertion {
    export: SignedExport,
    /// That of the output before it.
    output_length: u64,
    is_recorded: bool,
}

impl Recorder {
    /// Opens the files and completes the last device. Waits up to `wait` for another station.
    pub(super) fn open(batch: &Path, destination: &Destination, wait: Duration) -> Result<Self, ToolError> {
        if let Destination::Sign { ledger, proofs, .. } = destination {
            proofs.read_ahead(ledger);
        }
        let (mut done, mut last) = (DoneDevices::default(), None);
        let journal = Journal::open(&done_file(batch), wait, |number, line: DoneLine| {
            done.add(DoneDevice::new(number, &line));
            last = Some((number, line));
        })?;
        destination.check(batch, &done)?;
        let delivery = match destination {
            Destination::Collect(directory) => Delivery::Collect(directory.clone()),
            Destination::Sign {
                output,
                ledger,
                proofs,
                ..
            } => {
                let ledger = SharedLedger::open(ledger, last.is_some(), proofs, wait)?;
                let mut delivery = SignedDelivery::open(output, ledger, wait)?;
                if let Some((number, line)) = last {
                    delivery.complete_last(&line, |reason| damaged(batch, number, reason))?;
                }
                Delivery::Sign(Box::new(delivery))
            }
        };
        Ok(Recorder {
            journal,
            done,
            failures: Failures::open(batch)?,
            delivery,
        })
    }

    /// Refuses a device whose hardware id, key or TPM belongs to another one, in the lot or in the
    /// ledger. Returns the same device, if it is done.
    pub(super) fn compare(&self, identity: &ProvenIdentity) -> Result<Option<&DoneDevice>, DeviceRefusal> {
        let done = self.done.compare(identity)?;
        if let (None, Delivery::Sign(delivery)) = (done, &self.delivery) {
            delivery.ledger.compare(identity)?;
        }
        Ok(done)
    }

    /// The same device, if it is done. An assertion that is pending, maybe its own, is delivered before.
    pub(super) fn find_done(&mut self, identity: &ProvenIdentity) -> Result<Option<DoneDevice>, NoResult> {
        if let Delivery::Sign(delivery) = &mut self.delivery
            && delivery.pending.is_some()
        {
            let _locked = delivery.ledger.lock().map_err(ToolError::from)?;
            delivery.deliver()?;
        }
        Ok(self.compare(identity)?.cloned())
    }

    /// Records a device with its assertion, or collects it. A device that is done already keeps its
    /// result.
    pub(super) fn finish(
        &mut self,
        device: ProvenDevice,
        assertion: Option<Assertion>,
    ) -> Result<DoneDevice, NoResult> {
        let _locked = match &mut self.delivery {
            Delivery::Sign(delivery) => {
                let locked = delivery.ledger.lock().map_err(ToolError::from)?;
                delivery.deliver()?;
                Some(locked)
            }
            Delivery::Collect(_) => None,
        };
        if let Some(done) = self.compare(&device.identity)? {
            return Ok(done.clone());
        }
        let signed = match (&mut self.delivery, assertion) {
            (Delivery::Collect(directory), _) => {
                device.files.write(directory).map_err(ToolError::from)?;
                None
            }
            (Delivery::Sign(delivery), Some(assertion)) => Some(delivery.pend(assertion, device.proof)?),
            (Delivery::Sign(_), None) => return Err(ToolError::from(SignFailure::Nothing).into()),
        };
        let line = DoneLine {
            time: now(),
            result: match signed {
                Some(_) => LotOutcome::Signed,
                None => LotOutcome::Collected,
            },
            identity: device.identity,
            signed: signed.as_ref().map(|(line, _)| line.clone()),
        };
        self.journal.append(&line)?;
        let done = DoneDevice::new(self.done.next_line(), &line);
        if self.done.all().is_empty() && done.identity.digest_form == DigestForm::Der {
            failure::warn(PROGRAM, &DerForm);
        }
        self.done.add(done.clone());
        if let (Delivery::Sign(delivery), Some((_, pending))) = (&mut self.delivery, signed) {
            delivery.pending = Some(pending);
            delivery.deliver()?;
        }
        Ok(done)
    }

    pub(super) fn record(&mut self, failure: Failure) -> Result<(), LotError> {
        self.failures.record(failure)
    }
}

fn damaged(batch: &Path, line: u64, reason: String) -> ToolError {
    let path = done_file(batch);
    LotError::Damaged { path, line, reason }.into()
}

impl SignedDelivery {
    fn open(output_file: &Path, ledger: SharedLedger, wait: Duration) -> Result<Self, ToolError> {
        ledger.refuse_as_output(output_file)?;
        Ok(SignedDelivery {
            ledger,
            output: AppendedOutput::open(output_file, wait)?,
            pending: None,
        })
    }

    /// Completes the last device of an earlier process. `damaged` says that its line cannot be read.
    fn complete_last(
        &mut self,
        line: &DoneLine,
        damaged: impl Fn(String) -> ToolError,
    ) -> Result<(), ToolError> {
        let Some(signed) = &line.signed else {
            return Ok(());
        };
        let _locked = self.ledger.lock()?;
        if !self.ledger.has(&line.identity) {
            let assertion = snap_assertions::decode(signed.assertion.as_bytes());
            let proof = RawValue::from_string(signed.proof.clone());
            self.ledger.append(&SignedExport {
                assertion: assertion.map_err(|error| damaged(error.to_string()))?,
                proof: Some(proof.map_err(|error| damaged(error.to_string()))?),
            })?;
        }
        Ok(self.output.add(&signed.assertion, signed.output_length)?)
    }

    /// The line of an assertion, and what is delivered when the line is on the disk.
    fn pend(
        &mut self,
        assertion: Assertion,
        proof: Box<RawValue>,
    ) -> Result<(SignedLine, PendingAssertion), ToolError> {
        let line = SignedLine {
            assertion: assertion.to_string(),
            proof: proof.get().to_owned(),
            output_length: self.output.length()?,
        };
        let export = SignedExport {
            assertion,
            proof: Some(proof),
        };
        let pending = PendingAssertion {
            export,
            output_length: line.output_length,
            is_recorded: false,
        };
        Ok((line, pending))
    }

    /// Delivers the assertion that is pending, if there is one.
    fn deliver(&mut self) -> Result<(), ToolError> {
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        if !pending.is_recorded {
            self.ledger.append(&pending.export)?;
            pending.is_recorded = true;
        }
        self.output
            .add(&pending.export.assertion.to_string(), pending.output_length)?;
        self.pending = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use snap_assertions::LocalSigner;

    use super::*;

    const ISSUER: &[u8] = include_bytes!("../../../snap-assertions/tests/vectors/issuer.pk8");
    const EXPORT: &str = include_str!("../../../snap-assertions/tests/vectors/hardware-identity-p256.json");

    fn proven_device() -> ProvenDevice {
        let statement = Statement::from_json(EXPORT).unwrap();
        let proof = r#"{"batch":"b","template":"L-1","ek-sha256":"ek","key-name":"name"}"#;
        ProvenDevice {
            identity: ProvenIdentity {
                hardware_id: statement.headers.get_str("hardware-id").unwrap().to_owned(),
                key_name: "name".to_owned(),
                ek_sha256: "ek".to_owned(),
                digest_form: DigestForm::Text,
                headers_sha256: String::new(),
            },
            statement,
            proof: RawValue::from_string(proof.to_owned()).unwrap(),
            files: DeviceFiles {
                stem: String::new(),
                export: String::new(),
                evidence: String::new(),
                challenge: String::new(),
                answer: String::new(),
            },
        }
    }

    #[test]
    fn a_device_is_not_done_before_its_assertion_is_delivered() {
        let directory = tempfile::tempdir().unwrap();
        let batch = directory.path();
        let outputs = batch.join("outputs");
        fs::create_dir(&outputs).unwrap();
        let destination = Destination::Sign {
            signer: Arc::new(LocalSigner::from_der(ISSUER).unwrap()),
            output: outputs.join("signed.assert"),
            ledger: batch.join("ledger.jsonl"),
            proofs: KnownProofs::default(),
        };
        let mut recorder = Recorder::open(batch, &destination, Duration::ZERO).unwrap();
        let device = proven_device();
        let identity = device.identity.clone();
        assert!(recorder.find_done(&identity).unwrap().is_none());
        let assertion = destination.sign(&device).unwrap().unwrap();
        let text = assertion.to_string();
        // The device is in the lot, and the output cannot be written.
        let Delivery::Sign(delivery) = &mut recorder.delivery else {
            panic!("not signed");
        };
        let (signed, pending) = delivery.pend(assertion, device.proof).unwrap();
        delivery.pending = Some(pending);
        let line = DoneLine {
            time: now(),
            result: LotOutcome::Signed,
            identity: device.identity,
            signed: Some(signed),
        };
        recorder.done.add(DoneDevice::new(1, &line));
        fs::remove_dir_all(&outputs).unwrap();
        recorder.find_done(&identity).unwrap_err();
        fs::create_dir(&outputs).unwrap();
        let done = recorder.find_done(&identity).unwrap().unwrap();
        assert_eq!(done.result, LotOutcome::Signed);
        assert_eq!(fs::read_to_string(outputs.join("signed.assert")).unwrap(), text);
    }

    #[test]
    fn a_lot_has_one_destination() {
        let directory = tempfile::tempdir().unwrap();
        let batch = directory.path();
        let collect = Destination::Collect(batch.join("collected"));
        let open = || Recorder::open(batch, &collect, Duration::ZERO).map(drop);
        open().unwrap();
        for result in [LotOutcome::Collected, LotOutcome::Signed] {
            let mut journal = Journal::open(&done_file(batch), Duration::ZERO, |_, _: DoneLine| {}).unwrap();
            let identity = ProvenIdentity {
                hardware_id: format!("SN-{result}"),
                key_name: format!("name-{result}"),
                ek_sha256: format!("ek-{result}"),
                digest_form: DigestForm::Text,
                headers_sha256: String::new(),
            };
            journal
                .append(&DoneLine {
                    time: now(),
                    result,
                    identity,
                    signed: None,
                })
                .unwrap();
            drop(journal);
            let opened = open();
            match result {
                LotOutcome::Collected => opened.unwrap(),
                LotOutcome::Signed => assert!(
                    matches!(opened, Err(ToolError::Lot(LotError::Destination { .. }))),
                    "{opened:?}"
                ),
            }
        }
    }
}
