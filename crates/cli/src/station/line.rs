//! The station's side of a visit: it checks what a device sends, and records the device when its key is
//! proven.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use files::FileError;
use miette::Diagnostic;
use residency::{Answer, Challenge, ClaimedIdentity, EvidenceMessage, MessageError, VerifiedEvidence};
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;
use snap_assertions::Statement;

use super::collect::DeviceFiles;
use super::done::{DoneDevice, ProvenIdentity, done_file};
use super::error::{DeviceRefusal, LotError, NoResult};
use super::expected::ExpectedDevices;
use super::failures::Failure;
use super::journal::Journal;
use super::recorder::{Destination, ProvenDevice, Recorder};
use super::reservations::Reservations;
use super::statement::{LineHeaders, LineStatement};
use crate::error::{PROGRAM, ToolError};
use crate::exchange::{DeviceRequest, DeviceResult};
use crate::proof::{ProofBatch, ProofMembers, ProofProblem, TrustArguments};

/// How long a station that uses the files for moments waits for another one.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A station for the devices of one batch.
pub(super) struct InLineStation {
    directory: PathBuf,
    batch: ProofBatch,
    headers: LineHeaders,
    expected: Option<ExpectedDevices>,
    destination: Destination,
    recorder: RecorderUse,
    /// The devices that are being signed.
    reservations: Reservations,
}

/// How long the files of the lot are kept from other stations.
enum RecorderUse {
    /// As long as the station runs.
    Kept(Box<Mutex<Recorder>>),
    /// For moments: several stations can serve the batch, each over a pipe.
    Opened,
}

/// What the station sends to a device.
#[derive(Debug)]
pub(super) enum Response {
    Challenge(Challenge),
    Result(DeviceResult),
}

impl Response {
    /// The JSON of the message.
    pub(super) fn to_json(&self) -> String {
        match self {
            Response::Challenge(challenge) => challenge.to_json(),
            Response::Result(result) => result.line(true),
        }
    }
}

/// A device whose export and evidence are right.
struct CheckedDevice {
    statement: Statement,
    identity: ProvenIdentity,
    key: identity_key::IdentityPublicKey,
    evidence: VerifiedEvidence,
}

impl InLineStation {
    /// Opens the batch, or makes it; `is_kept` keeps other stations from it.
    pub(super) fn open(
        directory: &Path,
        trust: &TrustArguments,
        headers: LineHeaders,
        expected: Option<&Path>,
        destination: Destination,
        is_kept: bool,
    ) -> Result<Self, ToolError> {
        let batch = open_batch(directory, trust)?;
        let given = expected.map(ExpectedDevices::read).transpose()?;
        let recorder = match is_kept {
            true => {
                let recorder = Recorder::open(directory, &destination, Duration::ZERO)?;
                RecorderUse::Kept(Box::new(Mutex::new(recorder)))
            }
            false => RecorderUse::Opened,
        };
        let expected = match given {
            Some(expected) => {
                // The list of a station that is running must stay.
                let _locked = match recorder {
                    RecorderUse::Kept(_) => None,
                    RecorderUse::Opened => Some(lock_lot(directory)?),
                };
                expected.keep(directory)?;
                Some(expected)
            }
            None => ExpectedDevices::kept(directory)?,
        };
        Ok(InLineStation {
            directory: directory.to_owned(),
            batch,
            headers,
            expected,
            destination,
            recorder,
            reservations: Reservations::default(),
        })
    }

    /// The directory of the batch.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Answers a device. A refusal is recorded for the lot.
    pub(super) fn respond(&self, request: &DeviceRequest) -> Result<Response, NoResult> {
        let response = match &request.answer {
            None => self.challenge(request).map(Response::Challenge),
            Some(answer) => self.result(request, answer).map(Response::Result),
        };
        if let Err(NoResult::Refused(refusal)) = &response {
            self.record(&hardware_id_in(&request.export), refusal);
        }
        response
    }

    /// Records for the lot why a device has no result.
    pub(super) fn record(&self, hardware_id: &str, reason: &dyn Diagnostic) {
        let failure = Failure::new(hardware_id, reason);
        let recorded = self.with_recorder(|recorder| Ok(recorder.record(failure)?));
        if let Err(error) = recorded {
            failure::report(PROGRAM, &error);
        }
    }

    fn challenge(&self, request: &DeviceRequest) -> Result<Challenge, NoResult> {
        let device = self.check(request)?;
        self.with_recorder(|recorder| Ok(recorder.compare(&device.identity).map(drop)?))?;
        Ok(self.challenge_for(&device)?)
    }

    fn result(&self, request: &DeviceRequest, answer: &RawValue) -> Result<DeviceResult, NoResult> {
        let device = self.check(request)?;
        let read =
            Answer::read(answer.get().as_bytes()).map_err(|reason| unreadable("the answer", reason))?;
        let checked = self
            .batch
            .station
            .check(device.claimed(), &device.evidence, &read)
            .map_err(ProofProblem::from);
        checked.map_err(DeviceRefusal::from)?;
        let proven = self.proven(device, request, answer)?;
        let done = self.finish(proven)?;
        Ok(DeviceResult {
            result: done.result,
            hardware_id: done.identity.hardware_id,
            batch: self.batch.id.clone(),
            time: done.time,
        })
    }

    /// Signs and records a device, unless it is done. Other devices do not wait for the signature: a
    /// person may have to type a PIN for it.
    fn finish(&self, device: ProvenDevice) -> Result<DoneDevice, NoResult> {
        let _reserved = self.reservations.wait_for(&device.identity);
        let done = self.with_recorder(|recorder| recorder.find_done(&device.identity))?;
        if let Some(done) = done {
            return Ok(done);
        }
        let assertion = self.destination.sign(&device)?;
        self.with_recorder(|recorder| recorder.finish(device, assertion))
    }

    /// The checks that need no other device.
    fn check(&self, request: &DeviceRequest) -> Result<CheckedDevice, DeviceRefusal> {
        let LineStatement {
            statement,
            hardware_id,
            key,
            digest_form,
            headers_sha256,
        } = LineStatement::new(request.export.get(), &self.headers)?;
        if self
            .expected
            .as_ref()
            .is_some_and(|expected| !expected.has(&hardware_id))
        {
            return Err(DeviceRefusal::NotExpected(hardware_id));
        }
        let message = EvidenceMessage::read(request.evidence.get().as_bytes())
            .map_err(|reason| unreadable("the evidence", reason))?;
        let claimed = ClaimedIdentity {
            hardware_id: &hardware_id,
            key: &key,
        };
        let evidence = self
            .batch
            .station
            .verify(claimed, &message)
            .map_err(ProofProblem::from)?;
        Ok(CheckedDevice {
            statement,
            identity: ProvenIdentity {
                hardware_id,
                key_name: hex::encode(&evidence.key_name),
                ek_sha256: hex::encode(evidence.endorsement_key_sha256()),
                digest_form,
                headers_sha256,
            },
            key,
            evidence,
        })
    }

    fn challenge_for(&self, device: &CheckedDevice) -> Result<Challenge, DeviceRefusal> {
        let challenge = self.batch.station.challenge(device.claimed(), &device.evidence);
        Ok(challenge.map_err(ProofProblem::from)?)
    }

    fn proven(
        &self,
        device: CheckedDevice,
        request: &DeviceRequest,
        answer: &RawValue,
    ) -> Result<ProvenDevice, DeviceRefusal> {
        let members = ProofMembers::new(&self.batch.id, &device.evidence);
        let malformed = |error: serde_json::Error| DeviceRefusal::Malformed(error.to_string());
        let proof = serde_json::value::to_raw_value(&members).map_err(malformed)?;
        let digest = device.statement.headers.get_str("hardware-id-key-sha3-384");
        let files = DeviceFiles {
            stem: DeviceFiles::stem(&device.identity.hardware_id, digest.unwrap_or_default()),
            export: request.export.get().to_owned(),
            evidence: request.evidence.get().to_owned(),
            challenge: self.challenge_for(&device)?.to_json(),
            answer: answer.get().to_owned(),
        };
        Ok(ProvenDevice {
            identity: device.identity,
            statement: device.statement,
            proof,
            files,
        })
    }

    fn with_recorder<T>(
        &self,
        work: impl FnOnce(&mut Recorder) -> Result<T, NoResult>,
    ) -> Result<T, NoResult> {
        match &self.recorder {
            RecorderUse::Kept(recorder) => work(&mut recorder.lock().unwrap_or_else(PoisonError::into_inner)),
            RecorderUse::Opened => work(&mut Recorder::open(
                &self.directory,
                &self.destination,
                LONGEST_WAIT,
            )?),
        }
    }
}

impl CheckedDevice {
    fn claimed(&self) -> ClaimedIdentity<'_> {
        ClaimedIdentity {
            hardware_id: &self.identity.hardware_id,
            key: &self.key,
        }
    }
}

fn unreadable(message: &str, reason: MessageError) -> DeviceRefusal {
    let path = PathBuf::from(message);
    ProofProblem::Message { path, reason }.into()
}

/// Opens the batch, or makes it, which no other station must do at the same time.
fn open_batch(directory: &Path, trust: &TrustArguments) -> Result<ProofBatch, ToolError> {
    if ProofBatch::id_in(directory).is_ok() {
        return Ok(ProofBatch::open_or_create(directory, trust)?);
    }
    fs::create_dir_all(directory).map_err(|reason| FileError::Unwritable {
        path: directory.to_owned(),
        reason,
    })?;
    let _locked = lock_lot(directory)?;
    Ok(ProofBatch::open_or_create(directory, trust)?)
}

/// Keeps other stations from the lot.
fn lock_lot(directory: &Path) -> Result<Journal, LotError> {
    Journal::open(&done_file(directory), LONGEST_WAIT, |_, _: IgnoredAny| {})
}

/// The hardware id that an export claims; empty if it has none.
pub(super) fn hardware_id_in(export: &RawValue) -> String {
    let value: Value = serde_json::from_str(export.get()).unwrap_or_default();
    value["hardware-id"].as_str().unwrap_or_default().to_owned()
}
