//! Signed assertions that are in the ledger before they are in the output.

use serde_json::value::RawValue;
use snap_assertions::Assertion;

use crate::error::ToolError;
use crate::ledger::Ledger;
use crate::signed_output::SignedOutput;

/// The assertions that get their lines in the ledger together. To flush the lines takes as long as
/// some signatures.
const GROUP: usize = 64;

/// An assertion that was signed, and how its key was proven.
pub(crate) struct SignedExport {
    pub(crate) assertion: Assertion,
    /// The member `proof` of its line in the ledger; `None` if no proof was asked for.
    pub(crate) proof: Option<Box<RawValue>>,
}

/// The output and, if there is one, the ledger.
///
/// An assertion is written to the output, be it stdout or a file without its name yet, only when its
/// line is on the disk. So the ledger can have more than the output, but not less.
pub(crate) struct RecordedOutput {
    output: SignedOutput,
    ledger: Option<Ledger>,
    /// Assertions without a line.
    waiting: Vec<SignedExport>,
    is_started: bool,
}

impl RecordedOutput {
    pub(crate) fn new(output: SignedOutput, ledger: Option<Ledger>) -> Self {
        RecordedOutput {
            output,
            ledger,
            waiting: Vec::new(),
            is_started: false,
        }
    }

    pub(crate) fn write(&mut self, assertion: SignedExport) -> Result<(), ToolError> {
        self.waiting.push(assertion);
        match self.ledger.is_none() || self.waiting.len() >= GROUP {
            true => self.record(),
            false => Ok(()),
        }
    }

    fn record(&mut self) -> Result<(), ToolError> {
        if let Some(ledger) = &mut self.ledger {
            ledger.append(&self.waiting)?;
        }
        for signed in self.waiting.drain(..) {
            self.output.write(&signed.assertion)?;
            self.is_started = true;
        }
        Ok(())
    }

    /// Returns true if something was written that cannot be taken back.
    pub(crate) fn is_released(&self) -> bool {
        self.is_started && self.output.is_stdout()
    }

    /// Writes the rest and gives the result its name, durably.
    pub(crate) fn finish(mut self) -> Result<(), ToolError> {
        self.record()?;
        Ok(self.output.finish()?)
    }
}
