//! The devices of a lot that are done, in the file `lot.jsonl` of the batch.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use identity_key::DigestForm;
use serde::{Deserialize, Serialize};

use super::error::{DeviceRefusal, LotError};
use super::journal::read_lines;
use crate::exchange::LotOutcome;
use crate::export_checks::ExportProblem;
use crate::proof::ProofProblem;

/// The name of the file.
const FILE: &str = "lot.jsonl";

/// A proven device: what no other device of the lot may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ProvenIdentity {
    pub(super) hardware_id: String,
    /// The Name of the identity key, in hexadecimal digits.
    pub(super) key_name: String,
    /// SHA-256 of the endorsement key.
    pub(super) ek_sha256: String,
    pub(super) digest_form: DigestForm,
}

/// A line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct DoneLine {
    /// RFC 3339.
    pub(super) time: String,
    pub(super) result: LotOutcome,
    #[serde(flatten)]
    pub(super) identity: ProvenIdentity,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signed: Option<SignedLine>,
}

/// What was signed. It is in the file before it is in the ledger and in the output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SignedLine {
    pub(super) assertion: String,
    /// The member `proof` of the line in the ledger, as JSON.
    pub(super) proof: String,
    /// The length of the output before the assertion, in bytes.
    pub(super) output_length: u64,
}

/// A device that is done.
#[derive(Clone, Debug)]
pub(super) struct DoneDevice {
    pub(super) time: String,
    pub(super) result: LotOutcome,
    pub(super) identity: ProvenIdentity,
    /// The line in the file.
    line: u64,
}

/// All of them, with what no other device may have.
#[derive(Debug, Default)]
pub(super) struct DoneDevices {
    devices: Vec<DoneDevice>,
    by_hardware_id: HashMap<String, usize>,
    by_key: HashMap<String, usize>,
    by_tpm: HashMap<String, usize>,
}

/// The file in the directory of a batch.
pub(super) fn done_file(batch: &Path) -> PathBuf {
    batch.join(FILE)
}

impl DoneDevices {
    /// Reads the file while another program may be writing it.
    pub(super) fn read(batch: &Path) -> Result<Self, LotError> {
        let mut devices = DoneDevices::default();
        read_lines(&done_file(batch), |number, line| {
            devices.add(DoneDevice::new(number, &line))
        })?;
        Ok(devices)
    }

    /// In the order in which they were proven.
    pub(super) fn all(&self) -> &[DoneDevice] {
        &self.devices
    }

    pub(super) fn has(&self, hardware_id: &str) -> bool {
        self.by_hardware_id.contains_key(hardware_id)
    }

    /// The number of the line after the last one.
    pub(super) fn next_line(&self) -> u64 {
        self.devices.last().map_or(0, |last| last.line) + 1
    }

    pub(super) fn add(&mut self, device: DoneDevice) {
        let (index, identity) = (self.devices.len(), &device.identity);
        self.by_hardware_id.insert(identity.hardware_id.clone(), index);
        self.by_key.insert(identity.key_name.clone(), index);
        self.by_tpm.insert(identity.ek_sha256.clone(), index);
        self.devices.push(device);
    }

    /// The same device, if it is done already.
    ///
    /// # Errors
    /// If another device has its hardware id, its key or its TPM, or if its digest form is not that of
    /// the lot.
    pub(super) fn compare(&self, identity: &ProvenIdentity) -> Result<Option<&DoneDevice>, DeviceRefusal> {
        let find =
            |map: &HashMap<String, usize>, key| map.get(key).and_then(|&index| self.devices.get(index));
        let same_id = find(&self.by_hardware_id, &identity.hardware_id);
        if let Some(done) = same_id.filter(|done| done.identity == *identity) {
            return Ok(Some(done));
        }
        if let Some(first) = same_id {
            let first = first.place();
            return Err(ExportProblem::DuplicateHardwareId { first }.into());
        }
        if let Some(first) = find(&self.by_key, &identity.key_name) {
            let first = first.place();
            return Err(ExportProblem::DuplicateKey { first }.into());
        }
        if let Some(first) = find(&self.by_tpm, &identity.ek_sha256) {
            let first = first.place();
            return Err(ProofProblem::DuplicateTpm { first }.into());
        }
        match self.devices.first() {
            Some(first) if first.identity.digest_form != identity.digest_form => {
                Err(DeviceRefusal::Export(ExportProblem::MixedForms {
                    found: identity.digest_form,
                    batch: first.identity.digest_form,
                    first: first.place(),
                }))
            }
            _ => Ok(None),
        }
    }
}

impl DoneDevice {
    /// The device of a line with this number.
    pub(super) fn new(number: u64, line: &DoneLine) -> Self {
        DoneDevice {
            time: line.time.clone(),
            result: line.result,
            identity: line.identity.clone(),
            line: number,
        }
    }

    /// Where the device is, in messages.
    fn place(&self) -> String {
        format!("{FILE}:{}, {:?}", self.line, self.identity.hardware_id)
    }
}
