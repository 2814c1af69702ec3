//! All cores verify while one thread stores, in the order of the input and in one transaction. It
//! is committed when everything was verified and nothing refused.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use identity_key::DigestForm;
use jiff::Timestamp;

use super::error::{ImportError, RefusalReason};
use super::input::Input;
use super::proofs::{LedgerProofs, ProofStatus};
use super::read::{self, QUEUE, VerifiedChunk};
use super::report::{ImportOutcome, ImportReport, ReportLine, ReportWriter};
use super::verify::{RefusedAssertion, Verifier};
use crate::account_keys::AccountKeys;
use crate::settings::DuplicateHardwareIds;
use crate::store::{
    IdentityRecord, ImportOrigin, ImportTransaction, Store, StoreError, StoredCounts, UpsertOutcome,
    UpsertResult,
};

/// How long an import waits for another one, which may be large.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// The input of an assertion, its place in the input, and the result of its verification.
type VerifiedAssertion = (Option<String>, u64, Result<IdentityRecord, RefusedAssertion>);

/// Imports streams of hardware identities into a store.
pub(crate) struct Importer {
    pub(crate) store: Store,
    pub(crate) account_keys: Arc<AccountKeys>,
    /// The accepted forms of the key digest.
    pub(crate) digest_forms: Vec<DigestForm>,
    pub(crate) duplicate_hardware_ids: DuplicateHardwareIds,
    /// The proofs that the identities are compared with.
    pub(crate) proofs: Option<LedgerProofs>,
    /// True when the service ends: an import then stores nothing.
    pub(crate) stopped: Arc<AtomicBool>,
}

impl Importer {
    /// Imports all inputs or none; blocks the calling thread.
    pub(crate) fn run(&self, inputs: Vec<Input>, origin: &ImportOrigin) -> Result<ImportReport, ImportError> {
        let verifier = Verifier {
            account_keys: &self.account_keys,
            digest_forms: &self.digest_forms,
        };
        let (queue, chunks) = sync_channel(QUEUE);
        thread::scope(|scope| {
            let reader = scope.spawn(move || read::run(inputs, &verifier, &queue));
            self.store(chunks, reader, origin)
        })
    }

    /// Stores the verified identities if nothing is refused.
    fn store(
        &self,
        chunks: Receiver<VerifiedChunk>,
        reader: ScopedJoinHandle<'_, ()>,
        origin: &ImportOrigin,
    ) -> Result<ImportReport, ImportError> {
        let mut report = ReportWriter::new(self.temporary_file()?);
        // Nothing is locked before these have arrived: a small import that arrives slowly does not
        // keep others waiting.
        let first: Vec<_> = chunks.iter().take(QUEUE).collect();
        let transaction = self.begin()?;
        let mut chunks = first.into_iter().chain(chunks).peekable();
        while chunks.peek().is_some() {
            self.check_stopped()?;
            let mut verified = Vec::new();
            for chunk in chunks.by_ref().take(QUEUE) {
                let results = chunk.results.recv().map_err(|_| ImportError::Interrupted)?;
                let numbered = (chunk.first..).zip(results);
                verified.extend(numbered.map(|(number, result)| (chunk.input.clone(), number, result)));
            }
            for line in self.store_all(&transaction, verified)? {
                report.write(&line)?;
            }
        }
        // After a panic in the reader, the input is not complete.
        reader.join().map_err(|_| ImportError::Interrupted)?;
        let counts = report.counts();
        if counts.stored() {
            let stored = StoredCounts {
                new: counts.new,
                replaced: counts.replaced,
                present: counts.present,
                older: counts.older,
            };
            transaction.commit(stored, origin)?;
        }
        Ok(report.finish()?)
    }

    /// Begins to store as soon as no other import stores.
    fn begin(&self) -> Result<ImportTransaction, ImportError> {
        let end = Instant::now() + LONGEST_WAIT;
        loop {
            self.check_stopped()?;
            match self.store.begin_import(Timestamp::now().as_second()) {
                Err(StoreError::ImportRunning) if Instant::now() < end => {}
                begun => return Ok(begun?),
            }
        }
    }

    fn check_stopped(&self) -> Result<(), ImportError> {
        match self.stopped.load(Ordering::Relaxed) {
            true => Err(ImportError::Stopped),
            false => Ok(()),
        }
    }

    /// A file without a name, so that nothing is left of it however this process ends, on the disk
    /// of the database.
    fn temporary_file(&self) -> io::Result<File> {
        tempfile::tempfile_in(self.store.directory())
    }

    /// Stores the verified identities among consecutive assertions. Returns the line of each
    /// assertion.
    fn store_all(
        &self,
        transaction: &ImportTransaction,
        verified: Vec<VerifiedAssertion>,
    ) -> Result<Vec<ReportLine>, StoreError> {
        let (mut identities, mut lines) = (Vec::new(), Vec::new());
        for (input, number, result) in verified {
            lines.push(match result {
                Ok(identity) => {
                    identities.push(identity);
                    ReportLine::new(input, number, ImportOutcome::Present)
                }
                Err(refused) => ReportLine::new(input, number, ImportOutcome::Refused)
                    .about(refused.hardware_id, refused.digest)
                    .because(refused.reason.as_ref()),
            });
        }
        let results = transaction.upsert_identities(&identities)?;
        let stored = lines
            .iter_mut()
            .filter(|line| line.outcome != ImportOutcome::Refused);
        for (line, (identity, result)) in stored.zip(identities.into_iter().zip(results)) {
            let (mut outcome, mut problem) = self.judge(identity.revision, result);
            let proofs = self.proofs.as_ref();
            let proof = proofs.map(|proofs| proofs.status(&identity.hardware_id, &identity.digest));
            if outcome != ImportOutcome::Refused
                && let Some(unproven) = proof.and_then(ProofStatus::problem)
            {
                if proofs.is_some_and(|proofs| proofs.required) {
                    (outcome, problem) = (ImportOutcome::Refused, Some(unproven));
                } else {
                    problem = problem.or(Some(unproven));
                }
            }
            let about = ReportLine::new(line.input.take(), line.number, outcome)
                .about(Some(identity.hardware_id), Some(identity.digest))
                .with_proof(proof);
            *line = match problem {
                Some(problem) => about.because(&problem),
                None => about,
            };
        }
        Ok(lines)
    }

    /// The outcome for an identity, and the reason of a refusal or a warning.
    fn judge(&self, revision: u64, result: UpsertResult) -> (ImportOutcome, Option<RefusalReason>) {
        let outcome = match result.outcome {
            UpsertOutcome::New => ImportOutcome::New,
            UpsertOutcome::Replaced => ImportOutcome::Replaced,
            UpsertOutcome::Present => ImportOutcome::Present,
            UpsertOutcome::Older => ImportOutcome::Older,
            UpsertOutcome::Conflict => {
                return (
                    ImportOutcome::Refused,
                    Some(RefusalReason::SameRevision { revision }),
                );
            }
        };
        let problem = result
            .other_key
            .map(|digest| RefusalReason::DuplicateHardwareId { digest });
        match (&problem, self.duplicate_hardware_ids) {
            // The transaction is not committed, since one is refused.
            (Some(_), DuplicateHardwareIds::Refuse) => (ImportOutcome::Refused, problem),
            _ => (outcome, problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;
    use crate::settings::Settings;

    struct Panicking;

    impl Read for Panicking {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("a fault while reading")
        }
    }

    fn store(directory: &std::path::Path) -> Store {
        let file = directory.join("settings.toml");
        let text = "database = \"database.sqlite\"\naccount-keys = []\nimport-token-file = \"token\"\n\
                    page-password-file = \"password\"\nmodel = []\n";
        std::fs::write(&file, text).unwrap();
        let settings = Settings::read(&file).unwrap();
        Store::create(&settings).unwrap();
        Store::open(&settings).unwrap()
    }

    #[test]
    fn a_panic_of_the_reader_ends_the_import() {
        let directory = tempfile::tempdir().unwrap();
        let importer = Importer {
            store: store(directory.path()),
            account_keys: Arc::new(AccountKeys::read(&[]).unwrap()),
            digest_forms: Vec::new(),
            duplicate_hardware_ids: DuplicateHardwareIds::Warn,
            proofs: None,
            stopped: Arc::default(),
        };
        let input = Input {
            name: None,
            reader: Box::new(BufReader::new(Panicking)),
        };
        let result = importer.run(vec![input], &ImportOrigin::new("test".to_owned(), ""));
        assert!(matches!(result, Err(ImportError::Interrupted)));
    }
}
