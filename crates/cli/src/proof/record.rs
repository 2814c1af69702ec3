//! The proofs in the station's ledger.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};

use super::check::ProofProblem;
use crate::ledger::{LedgerError, LedgerReader};

/// The first half of a SHA-256 digest, which keeps the memory small: 150 bytes for each proof.
type Fingerprint = [u8; 16];

/// The endorsement keys and identity keys in the ledger.
#[derive(Debug, Default)]
pub(super) struct RecordedProofs {
    proofs: Vec<RecordedProof>,
    /// The index of the last proof with an endorsement key, and of that with an identity key.
    by_key: HashMap<Fingerprint, usize>,
}

/// A line with a proof.
#[derive(Clone, Copy, Debug)]
struct RecordedProof {
    /// The number of the line.
    line: u64,
    /// The highest revision for the same device up to this line.
    revision: u64,
    hardware_id: Fingerprint,
    /// The endorsement key, the identity key and the hardware id together.
    device: Fingerprint,
}

/// The members of a line that the record needs.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RecordedLine {
    sequence: u64,
    hardware_id: String,
    revision: u64,
    /// Absent if no proof was asked for.
    #[serde(default, deserialize_with = "present")]
    proof: Option<ProofMember>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ProofMember {
    Activation(Activation),
    /// Signed without a proof.
    Unproven(Unproven),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Activation {
    ek_sha256: String,
    key_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Unproven {
    None,
}

/// Reads a member that has to have a value if it is there: null is none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ProofMember>, D::Error> {
    ProofMember::deserialize(deserializer).map(Some)
}

impl RecordedProofs {
    /// Reads a ledger, and checks its chain on the way: a proof that was changed or removed must not
    /// count as none.
    pub(super) fn read(ledger: &Path) -> Result<Self, LedgerError> {
        let mut recorded = RecordedProofs::default();
        LedgerReader::default().read(ledger, |line| {
            let line: RecordedLine = serde_json::from_slice(line).map_err(|error| error.to_string())?;
            if let Some(ProofMember::Activation(proof)) = &line.proof {
                recorded.add(&line, proof);
            }
            Ok(())
        })?;
        Ok(recorded)
    }

    fn add(&mut self, line: &RecordedLine, proof: &Activation) {
        let (ek, name) = (&proof.ek_sha256, &proof.key_name);
        let device = fingerprint(&[ek, name, &line.hardware_id]);
        let earlier = self.find(name).filter(|earlier| earlier.device == device);
        let index = self.proofs.len();
        self.proofs.push(RecordedProof {
            line: line.sequence,
            revision: line.revision.max(earlier.map_or(0, |earlier| earlier.revision)),
            hardware_id: fingerprint(&[&line.hardware_id]),
            device,
        });
        for key in [ek, name] {
            self.by_key.insert(fingerprint(&[key]), index);
        }
    }

    fn find(&self, key: &str) -> Option<RecordedProof> {
        let index = self.by_key.get(&fingerprint(&[key]))?;
        self.proofs.get(*index).copied()
    }

    /// Refuses a TPM or a key that was proven before. The same device with the same key may get
    /// another assertion with a higher `revision`.
    pub(super) fn compare(
        &self,
        ek: &str,
        name: &str,
        hardware_id: &str,
        revision: Option<u64>,
    ) -> Result<(), ProofProblem> {
        let this = fingerprint(&[ek, name, hardware_id]);
        if let Some(proof) = self.find(ek) {
            let line = proof.line;
            proof.check(proof.device == this, ProofProblem::TpmRecorded { line }, revision)?;
        }
        self.compare_key(name, |proof| proof.device == this, revision)
    }

    /// Refuses a key without proof that was proven before: for another device, or for the same one if
    /// `revision` is not higher. `name` is one of the Names that the key can have.
    pub(super) fn compare_unproven(
        &self,
        name: &str,
        hardware_id: &str,
        revision: Option<u64>,
    ) -> Result<(), ProofProblem> {
        let this = fingerprint(&[hardware_id]);
        self.compare_key(name, |proof| proof.hardware_id == this, revision)
    }

    fn compare_key(
        &self,
        name: &str,
        is_same: impl Fn(&RecordedProof) -> bool,
        revision: Option<u64>,
    ) -> Result<(), ProofProblem> {
        let Some(proof) = self.find(name) else {
            return Ok(());
        };
        let line = proof.line;
        proof.check(is_same(&proof), ProofProblem::KeyRecorded { line }, revision)
    }
}

impl RecordedProof {
    fn check(&self, is_same: bool, other: ProofProblem, revision: Option<u64>) -> Result<(), ProofProblem> {
        match is_same {
            false => Err(other),
            true if revision.is_some_and(|revision| revision > self.revision) => Ok(()),
            true => Err(ProofProblem::Recorded {
                line: self.line,
                revision: self.revision,
                next: self.revision.saturating_add(1),
            }),
        }
    }
}

fn fingerprint(parts: &[&str]) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        // In none of the parts.
        hash.update([0]);
    }
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&hash.finalize()[..16]);
    fingerprint
}
