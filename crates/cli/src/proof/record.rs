//! The proofs in the station's ledger.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use files::FileError;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::check::ProofProblem;

/// The first half of a SHA-256 digest, which keeps the memory small: 100 bytes for each proof.
type Fingerprint = [u8; 16];

/// The endorsement keys and identity keys in the ledger.
#[derive(Debug, Default)]
pub(super) struct RecordedProofs {
    keys: HashMap<Fingerprint, Entry>,
}

/// A line with a proof.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The number of the line.
    line: u64,
    /// The endorsement key, the identity key and the hardware id together.
    device: Fingerprint,
}

/// The members of a line that the record needs.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Line {
    sequence: u64,
    hardware_id: String,
    proof: Option<Proof>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Proof {
    Activation(Activation),
    /// Signed without a proof.
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Activation {
    ek_sha256: String,
    key_name: String,
}

impl RecordedProofs {
    /// Reads a ledger, whose lines were written in a chain that `ledger verify` checks. One that does
    /// not exist has no proofs.
    pub(super) fn read(ledger: &Path) -> Result<Self, FileError> {
        let mut recorded = RecordedProofs::default();
        let file = match files::open(ledger) {
            Err(error) if error.is_not_found() => return Ok(recorded),
            opened => opened?,
        };
        for line in BufReader::new(file).lines() {
            let unreadable = |reason| FileError::Unreadable {
                path: ledger.to_owned(),
                reason,
            };
            let line = line.map_err(unreadable)?;
            if !line.contains("\"proof\"") {
                continue;
            }
            let line: Line =
                serde_json::from_str(&line).map_err(|error| unreadable(io::Error::other(error)))?;
            if let Some(Proof::Activation(proof)) = line.proof {
                recorded.add(line.sequence, &line.hardware_id, &proof);
            }
        }
        Ok(recorded)
    }

    fn add(&mut self, line: u64, hardware_id: &str, proof: &Activation) {
        let device = device(&proof.ek_sha256, &proof.key_name, hardware_id);
        for key in [&proof.ek_sha256, &proof.key_name] {
            self.keys.insert(fingerprint(&[key]), Entry { line, device });
        }
    }

    /// Refuses a TPM or a key that was proven before. The same device with the same key may get
    /// another assertion if one is wanted.
    pub(super) fn compare(
        &self,
        ek: &str,
        name: &str,
        hardware_id: &str,
        is_revision: bool,
    ) -> Result<(), ProofProblem> {
        let this = device(ek, name, hardware_id);
        for (subject, key) in [("TPM", ek), ("identity key", name)] {
            match self.keys.get(&fingerprint(&[key])) {
                Some(&Entry { line, device }) if device != this => {
                    return Err(ProofProblem::RecordedForOther { line, subject });
                }
                Some(&Entry { line, .. }) if !is_revision => return Err(ProofProblem::Recorded { line }),
                _ => {}
            }
        }
        Ok(())
    }
}

fn device(ek: &str, name: &str, hardware_id: &str) -> Fingerprint {
    fingerprint(&[ek, name, hardware_id])
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
