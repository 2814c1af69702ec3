//! Importing hardware identities: everything is verified before anything is stored, and all is stored in one
//! transaction or nothing.
//!
//! What was verified stands in a temporary file until then, so that the memory stays small and the database is
//! locked only for as long as storing takes.

mod report;
mod verify;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use serde::{Deserialize, Serialize};
use snap_assertions::{Assertion, Decoder};

use report::Reporter;
pub(crate) use report::{Counts, Line, Outcome, Report};

use crate::settings::Form;
use crate::store::{self, Identity, Placed, StoreError, connect};
use crate::trust::AccountKeys;

/// Assertions that are verified together, at most and in bytes. The next ones are decoded meanwhile.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Why an import did not come to an end; nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The temporary files.
    #[error("the temporary files of the import cannot be used: {0}. Make room on the database's disk")]
    Temporary(#[from] io::Error),
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

/// What became of an assertion before storing.
#[derive(Deserialize, Serialize)]
enum Checked {
    Good(Identity),
    Refused {
        reason: String,
        hardware_id: Option<String>,
        digest: Option<String>,
    },
}

/// With its place in the input.
#[derive(Deserialize, Serialize)]
struct Numbered {
    input: Option<String>,
    number: u64,
    checked: Checked,
}

impl Importer {
    /// Imports all inputs, in a thread that may wait.
    pub(crate) fn run(&self, inputs: Vec<Input>) -> Result<Report, ImportError> {
        let mut checked = BufWriter::new(self.temporary()?);
        for (name, reader) in inputs {
            self.check(name.as_deref(), reader, &mut checked)?;
        }
        let mut checked = checked.into_inner().map_err(io::IntoInnerError::into_error)?;
        checked.rewind()?;
        self.store(checked)
    }

    /// Without a name, so that nothing is left of it however this process ends, and on the disk of the database.
    fn temporary(&self) -> io::Result<File> {
        match self.database.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => tempfile::tempfile_in(folder),
            _ => tempfile::tempfile_in(Path::new(".")),
        }
    }

    /// Verifies a stream and writes what came of it to `checked`.
    fn check(
        &self,
        name: Option<&str>,
        reader: Box<dyn BufRead + Send>,
        checked: &mut BufWriter<File>,
    ) -> io::Result<()> {
        let mut decoder = Decoder::new(reader);
        let (mut number, mut broken) = (0, None);
        let mut decode = || -> Vec<Assertion> {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while batch.len() < BATCH && bytes < BATCH_BYTES {
                match decoder.next() {
                    None => break,
                    Some(Ok(assertion)) => {
                        bytes += assertion.content().len() + assertion.signature_text().len();
                        batch.push(assertion);
                    }
                    Some(Err(error)) => broken = Some(format!("{error}; nothing after it was read")),
                }
            }
            batch
        };
        let mut write = |one: Checked| -> io::Result<()> {
            number += 1;
            let input = name.map(str::to_owned);
            let numbered = Numbered {
                input,
                number,
                checked: one,
            };
            serde_json::to_writer(&mut *checked, &numbered)?;
            checked.write_all(b"\n")
        };
        let mut batch = decode();
        while !batch.is_empty() {
            let (next, verified) = rayon::join(&mut decode, || {
                verify::all(&batch, &self.account_keys, &self.forms)
            });
            for one in verified {
                write(one)?;
            }
            batch = next;
        }
        match broken {
            None => Ok(()),
            Some(reason) => write(Checked::Refused {
                reason,
                hardware_id: None,
                digest: None,
            }),
        }
    }

    /// Stores what was checked, if there is nothing to refuse.
    fn store(&self, checked: File) -> Result<Report, ImportError> {
        let mut reporter = Reporter::new(self.temporary()?);
        let mut connection = connect(&self.database)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now = Timestamp::now().as_second();
        for line in BufReader::new(checked).lines() {
            let one: Numbered = serde_json::from_str(&line?).map_err(io::Error::from)?;
            reporter.write(&store_one(&transaction, one, now)?)?;
        }
        if reporter.counts().refused == 0 {
            transaction.commit()?;
        } else {
            transaction.rollback()?;
        }
        Ok(reporter.finish()?)
    }
}

fn store_one(connection: &Connection, one: Numbered, now: i64) -> rusqlite::Result<Line> {
    let line = |outcome, reason, hardware_id, digest| Line {
        input: one.input,
        number: one.number,
        outcome,
        hardware_id,
        digest,
        reason,
    };
    let identity = match one.checked {
        Checked::Good(identity) => identity,
        Checked::Refused {
            reason,
            hardware_id,
            digest,
        } => return Ok(line(Outcome::Refused, Some(reason), hardware_id, digest)),
    };
    let (outcome, reason) = match store::place(connection, &identity, now)? {
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
