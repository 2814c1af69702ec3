//! The devices of a lot that are done, in the file `lot.jsonl` of the batch.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use identity_key::DigestForm;
use serde::{Deserialize, Serialize};

use super::error::{DeviceRefusal, LotError};
use super::journal::read_lines;
use crate::exchange::LotOutcome;

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
    /// SHA-256 of its headers, without the timestamp.
    pub(super) headers_sha256: String,
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
    /// If another device has its hardware id, its key or its TPM, if its digest form is not that of the
    /// lot, or if it was done with other headers.
    pub(super) fn compare(&self, identity: &ProvenIdentity) -> Result<Option<&DoneDevice>, DeviceRefusal> {
        let find =
            |map: &HashMap<String, usize>, key| map.get(key).and_then(|&index| self.devices.get(index));
        let same_id = find(&self.by_hardware_id, &identity.hardware_id);
        if let Some(done) = same_id.filter(|done| done.identity.is_of_same_device(identity)) {
            return done.compare_headers(identity).map(|()| Some(done));
        }
        if let Some(first) = same_id {
            let first = first.place();
            return Err(DeviceRefusal::DuplicateHardwareId { first });
        }
        if let Some(first) = find(&self.by_key, &identity.key_name) {
            let first = first.place();
            return Err(DeviceRefusal::DuplicateKey { first });
        }
        if let Some(first) = find(&self.by_tpm, &identity.ek_sha256) {
            let first = first.place();
            return Err(DeviceRefusal::DuplicateTpm { first });
        }
        match self.devices.first() {
            Some(first) => first.compare_forms(identity).map(|()| None),
            None => Ok(None),
        }
    }
}

impl ProvenIdentity {
    /// Returns true if hardware id, key and TPM are the same.
    fn is_of_same_device(&self, other: &Self) -> bool {
        self.hardware_id == other.hardware_id
            && self.key_name == other.key_name
            && self.ek_sha256 == other.ek_sha256
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

    fn compare_forms(&self, identity: &ProvenIdentity) -> Result<(), DeviceRefusal> {
        let (found, lot) = (identity.digest_form, self.identity.digest_form);
        match found == lot {
            true => Ok(()),
            false => Err(DeviceRefusal::MixedForms {
                found,
                lot,
                first: self.place(),
            }),
        }
    }

    /// Refuses the same device with other headers: its result would be that of the old ones.
    fn compare_headers(&self, identity: &ProvenIdentity) -> Result<(), DeviceRefusal> {
        self.compare_forms(identity)?;
        match self.identity.headers_sha256 == identity.headers_sha256 {
            true => Ok(()),
            false => Err(DeviceRefusal::HeadersChanged { first: self.place() }),
        }
    }

    /// Where the device is, in messages.
    fn place(&self) -> String {
        format!("{FILE}:{}, {:?}", self.line, self.identity.hardware_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device whose values have one letter each: hardware id, key, TPM, headers.
    fn device(values: [&str; 4]) -> ProvenIdentity {
        let [hardware_id, key_name, ek_sha256, headers_sha256] = values.map(str::to_owned);
        ProvenIdentity {
            hardware_id,
            key_name,
            ek_sha256,
            digest_form: DigestForm::Text,
            headers_sha256,
        }
    }

    #[test]
    fn only_the_same_device_with_the_same_headers_is_done() {
        let mut devices = DoneDevices::default();
        let identity = device(["a", "a", "a", "a"]);
        let line = DoneLine {
            time: String::new(),
            result: LotOutcome::Signed,
            identity: identity.clone(),
            signed: None,
        };
        devices.add(DoneDevice::new(1, &line));
        let compare = |identity| devices.compare(&identity).map(|done| done.is_some());
        assert!(compare(identity.clone()).unwrap());
        assert!(!compare(device(["b", "b", "b", "a"])).unwrap());
        let refused = |values| failure::code(&compare(device(values)).unwrap_err());
        assert_eq!(refused(["a", "a", "a", "b"]), "lot-headers-changed");
        assert_eq!(refused(["a", "b", "b", "a"]), "lot-duplicate-hardware-id");
        assert_eq!(refused(["a", "a", "b", "a"]), "lot-duplicate-hardware-id");
        assert_eq!(refused(["b", "a", "b", "a"]), "lot-duplicate-hardware-key");
        assert_eq!(refused(["b", "b", "a", "a"]), "lot-duplicate-tpm");
        // The same device and another one, with the other digest form.
        for values in [["a", "a", "a", "b"], ["b", "b", "b", "a"]] {
            let mixed = ProvenIdentity {
                digest_form: DigestForm::Der,
                ..device(values)
            };
            let refusal = compare(mixed).unwrap_err();
            assert_eq!(failure::code(&refusal), "lot-mixed-digest-forms");
        }
    }
}
