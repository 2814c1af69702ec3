//! The proofs in the station's ledger.

use std::collections::HashMap;
use std::mem;
use std::path::Path;

use ledger_chain::{Activation, ChainReader, Fingerprint, SignedLine};

use super::check::ProofProblem;
use crate::ledger::LedgerError;

/// The endorsement keys and identity keys in the ledger: 150 bytes for each proof.
#[derive(Debug, Default)]
pub(crate) struct RecordedProofs {
    proofs: Vec<RecordedProof>,
    /// The index of the last proof with an endorsement key, and of that with an identity key.
    by_key: HashMap<Fingerprint, usize>,
    chain: ChainReader,
    /// Of what was read, in bytes.
    length: u64,
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

impl RecordedProofs {
    /// Reads a ledger, and checks its chain on the way: a proof that was changed or removed must not
    /// count as none.
    pub(crate) fn read(ledger: &Path) -> Result<Self, LedgerError> {
        let mut recorded = RecordedProofs::default();
        recorded.update(ledger, u64::MAX)?;
        Ok(recorded)
    }

    /// Reads what was added to a ledger that has this length in bytes now. After an error nothing counts
    /// as read.
    pub(crate) fn update(&mut self, ledger: &Path, length: u64) -> Result<(), LedgerError> {
        let mut recorded = mem::take(self);
        if length < recorded.length {
            return Err(LedgerError::Changed(ledger.to_owned()));
        }
        let (added, mut chain) = (recorded.length..length, mem::take(&mut recorded.chain));
        chain.read_part(ledger, added, |line| {
            let line = SignedLine::read(line).map_err(|error| error.to_string())?;
            if let Some(proof) = line.activation() {
                recorded.add(&line, proof);
            }
            Ok(())
        })?;
        *self = RecordedProofs {
            chain,
            length,
            ..recorded
        };
        Ok(())
    }

    fn add(&mut self, line: &SignedLine, proof: &Activation) {
        let (ek, name) = (&proof.ek_sha256, &proof.key_name);
        let device = Fingerprint::of_strings(&[ek, name, &line.hardware_id]);
        let earlier = self.find(name).filter(|earlier| earlier.device == device);
        let index = self.proofs.len();
        self.proofs.push(RecordedProof {
            line: line.sequence,
            revision: line.revision.max(earlier.map_or(0, |earlier| earlier.revision)),
            hardware_id: Fingerprint::of_strings(&[&line.hardware_id]),
            device,
        });
        for key in [ek, name] {
            self.by_key.insert(Fingerprint::of_strings(&[key]), index);
        }
    }

    fn find(&self, key: &str) -> Option<RecordedProof> {
        let index = self.by_key.get(&Fingerprint::of_strings(&[key]))?;
        self.proofs.get(*index).copied()
    }

    /// Returns true if the last proof of this TPM and of this key is that of this device.
    pub(crate) fn has(&self, ek: &str, name: &str, hardware_id: &str) -> bool {
        let this = Fingerprint::of_strings(&[ek, name, hardware_id]);
        [ek, name]
            .iter()
            .all(|key| self.find(key).is_some_and(|proof| proof.device == this))
    }

    /// Refuses a TPM or a key that was proven before. The same device with the same key may get
    /// another assertion with a higher `revision`.
    pub(crate) fn compare(
        &self,
        ek: &str,
        name: &str,
        hardware_id: &str,
        revision: Option<u64>,
    ) -> Result<(), ProofProblem> {
        let this = Fingerprint::of_strings(&[ek, name, hardware_id]);
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
        let this = Fingerprint::of_strings(&[hardware_id]);
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
