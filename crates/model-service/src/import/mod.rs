//! Importing hardware identities: all cores verify while one thread stores, in the order of the input and in one
//! transaction, which is committed when all has been verified and nothing was refused.

mod read;
mod report;
mod verify;

use std::fs::File;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use jiff::Timestamp;
use rusqlite::TransactionBehavior;

use read::{Batch, QUEUE};
use report::Reporter;
pub(crate) use report::{Counts, Line, Outcome, Report};
use verify::{Checked, Verifier};

use crate::settings::Form;
use crate::store::{self, Placed, StoreError};
use crate::trust::AccountKeys;

/// Why an import did not come to an end; nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The temporary file.
    #[error("the temporary file of the import cannot be used: {0}. Make room on the database's disk")]
    Temporary(#[from] io::Error),
    /// A thread ended early.
    #[error("not everything was verified, as a thread ended early. Import again; the log says more")]
    Unverified,
}

impl From<rusqlite::Error> for ImportError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::from(error).into()
    }
}

/// What imports need.
pub(crate) struct Importer {
    pub(crate) database: PathBuf,
    pub(crate) account_keys: Arc<AccountKeys>,
    pub(crate) forms: Vec<Form>,
}

/// A stream of assertions, and what it is called in the report where there are several.
pub(crate) type Input = (Option<String>, Box<dyn BufRead + Send>);

impl Importer {
    /// Imports all inputs, in a thread that may wait.
    pub(crate) fn run(&self, inputs: Vec<Input>) -> Result<Report, ImportError> {
        let verifier = Verifier {
            keys: &self.account_keys,
            forms: &self.forms,
        };
        let (queue, batches) = sync_channel(QUEUE);
        thread::scope(|scope| {
            scope.spawn(move || read::run(inputs, &verifier, &queue));
            self.store(batches)
        })
    }

    /// Stores what was verified, if there is nothing to refuse.
    fn store(&self, batches: Receiver<Batch>) -> Result<Report, ImportError> {
        let mut reporter = Reporter::new(self.temporary()?);
        // Until so much has come nothing is locked: a small import that arrives slowly keeps no other one waiting.
        let first: Vec<_> = batches.iter().take(QUEUE).collect();
        let mut connection = store::connect_to_import(&self.database)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut placing = store::Placing::new(&transaction, Timestamp::now().as_second())?;
        for batch in first.into_iter().chain(batches) {
            let checked = batch.checked.recv().map_err(|_| ImportError::Unverified)?;
            for (number, one) in (batch.first..).zip(checked) {
                reporter.write(&store_one(&mut placing, batch.input.clone(), number, one)?)?;
            }
        }
        drop(placing);
        if reporter.counts().refused == 0 {
            transaction.commit()?;
        } else {
            transaction.rollback()?;
        }
        Ok(reporter.finish()?)
    }

    /// Without a name, so that nothing is left of it however this process ends, and on the disk of the database.
    fn temporary(&self) -> io::Result<File> {
        match self.database.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => tempfile::tempfile_in(folder),
            _ => tempfile::tempfile_in(Path::new(".")),
        }
    }
}

fn store_one(
    placing: &mut store::Placing<'_>,
    input: Option<String>,
    number: u64,
    one: Checked,
) -> rusqlite::Result<Line> {
    let line = |outcome, reason, hardware_id, digest| Line {
        input,
        number,
        outcome,
        hardware_id,
        digest,
        reason,
    };
    let identity = match one {
        Checked::Good(identity) => identity,
        Checked::Refused {
            reason,
            hardware_id,
            digest,
        } => return Ok(line(Outcome::Refused, Some(reason), hardware_id, digest)),
    };
    let (outcome, reason) = match placing.place(&identity)? {
        Placed::New => (Outcome::New, None),
        Placed::Replaced => (Outcome::Replaced, None),
        Placed::Present => (Outcome::Present, None),
        Placed::Older => (Outcome::Older, None),
        Placed::Differs => {
            let reason = format!(
                "another assertion for this key is there, with the same revision {}. Sign it with a higher revision",
                identity.revision
            );
            (Outcome::Refused, Some(reason))
        }
    };
    Ok(line(
        outcome,
        reason,
        Some(identity.hardware_id),
        Some(identity.digest),
    ))
}
