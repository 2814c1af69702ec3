//! The ledger of all batches, which a station locks for moments: other stations and `sign` use it too.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::done::ProvenIdentity;
use crate::ledger::{Ledger, LedgerError, LedgerLock};
use crate::proof::{ProofProblem, RecordedProofs};
use crate::recorded_output::SignedExport;

/// How long at least a station waits for another program that has the ledger. `sign` keeps it as long as
/// it runs.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The proofs in the ledger, as far as this process has read them: a long ledger is read once.
#[derive(Clone, Default)]
pub(super) struct KnownProofs(Arc<Mutex<RecordedProofs>>);

/// The ledger, with the proofs of all batches.
pub(super) struct SharedLedger {
    ledger: Ledger,
    proofs: KnownProofs,
    wait: Duration,
}

impl KnownProofs {
    /// Reads what was added to the ledger, before other files are locked.
    pub(super) fn read_ahead(&self, path: &Path) {
        // The station that opens the ledger reports what is wrong with it.
        if let Ok(ledger) = Ledger::open(path, LOCK_WAIT) {
            let _ = self.read_unlocked(&ledger);
        }
    }

    /// Reads the lines up to the length of the ledger, while others may append.
    fn read_unlocked(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        ledger.unlock()?;
        self.get().update(ledger.path(), ledger.length())
    }

    fn get(&self) -> MutexGuard<'_, RecordedProofs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedLedger {
    /// Opens the ledger, and reads what was added. With `is_repaired`, an incomplete last line is removed.
    pub(super) fn open(
        path: &Path,
        is_repaired: bool,
        proofs: &KnownProofs,
        wait: Duration,
    ) -> Result<Self, LedgerError> {
        let wait = wait.max(LOCK_WAIT);
        let ledger = match is_repaired {
            true => Ledger::repair(path, wait)?,
            false => Ledger::open(path, wait)?,
        };
        proofs.read_unlocked(&ledger)?;
        Ok(SharedLedger {
            ledger,
            proofs: proofs.clone(),
            wait,
        })
    }

    pub(super) fn refuse_as_output(&self, output: &Path) -> Result<(), LedgerError> {
        self.ledger.refuse_as_output(Some(output))
    }

    /// Locks the ledger, and reads what others have added.
    pub(super) fn lock(&mut self) -> Result<LedgerLock, LedgerError> {
        let locked = self.ledger.lock(self.wait)?;
        self.proofs
            .get()
            .update(self.ledger.path(), self.ledger.length())?;
        Ok(locked)
    }

    /// Appends a line to the locked ledger.
    pub(super) fn append(&mut self, export: &SignedExport) -> Result<(), LedgerError> {
        self.ledger.append(std::slice::from_ref(export))
    }

    /// Refuses a TPM or a key that had a line when the ledger was locked last.
    pub(super) fn compare(&self, identity: &ProvenIdentity) -> Result<(), ProofProblem> {
        let (ek, name) = (&identity.ek_sha256, &identity.key_name);
        self.proofs.get().compare(ek, name, &identity.hardware_id, None)
    }

    /// Returns true if the device had a line then.
    pub(super) fn has(&self, identity: &ProvenIdentity) -> bool {
        let (ek, name) = (&identity.ek_sha256, &identity.key_name);
        self.proofs.get().has(ek, name, &identity.hardware_id)
    }
}

#[cfg(test)]
mod tests {
    use identity_key::DigestForm;
    use serde_json::value::to_raw_value;

    use super::*;

    const ASSERTION: &[u8] =
        include_bytes!("../../../snap-assertions/tests/vectors/hardware-identity-p256.assert");

    fn identity(number: u64) -> ProvenIdentity {
        ProvenIdentity {
            hardware_id: "EB2/0653 p256".to_owned(),
            key_name: format!("name-{number}"),
            ek_sha256: format!("ek-{number}"),
            digest_form: DigestForm::Text,
            headers_sha256: String::new(),
        }
    }

    fn append(ledger: &mut SharedLedger, number: u64) {
        let identity = identity(number);
        let proof = serde_json::json!({"ek-sha256": identity.ek_sha256, "key-name": identity.key_name});
        let _locked = ledger.lock().unwrap();
        assert!(!ledger.has(&identity) && ledger.compare(&identity).is_ok());
        ledger
            .append(&SignedExport {
                assertion: snap_assertions::decode(ASSERTION).unwrap(),
                proof: Some(to_raw_value(&proof).unwrap()),
            })
            .unwrap();
    }

    #[test]
    fn two_stations_know_each_others_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        let open = |proofs: &KnownProofs| SharedLedger::open(&path, false, proofs, Duration::ZERO).unwrap();
        let known = KnownProofs::default();
        let (mut first, mut second) = (open(&known), open(&KnownProofs::default()));
        for number in [0, 2, 4] {
            append(&mut first, number);
            append(&mut second, number + 1);
            drop(first.lock().unwrap());
            for known in [number, number + 1] {
                let refused = first.compare(&identity(known));
                assert!(matches!(refused, Err(ProofProblem::Recorded { .. })));
            }
        }
        // Another process, and this one again.
        for proofs in [KnownProofs::default(), known] {
            proofs.read_ahead(&path);
            let ledger = open(&proofs);
            assert!((0..6).all(|number| ledger.has(&identity(number))));
            assert!(!ledger.has(&identity(6)));
        }
    }
}
