//! The connection to the TPM: opens it, retries transient errors, flushes leftover keys, and watches
//! the deadline.

use tss_esapi::Context;
use tss_esapi::constants::CapabilityType;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::handles::{ObjectHandle, TpmHandle};
use tss_esapi::structures::CapabilityData;

use super::Tcti;
use super::deadline::Watchdog;
use super::error::TpmError;
use super::response::{TssResult, describe, is_transient, kind};
use super::tcti::is_connection_loss;
use super::template::identity_key;
use crate::retry::RetryBudget;

/// The first transient handle (TPM 2.0 Library part 2, section 7.5.2).
const FIRST_TRANSIENT: u32 = 0x8000_0000;
/// Not a command: the TCTI connects.
const START: &str = "the start of the connection";
/// The command with which the connection ends.
const END: &str = "TPM2_FlushContext";

/// Runs `job` on the TPM. If the connection breaks, runs it again on a new one, so `job` must be
/// repeatable. The deadline of the budget, if it has one, counts for all of it.
///
/// # Errors
/// Those of opening the TPM, and those of the job.
pub fn with_tpm<T, E: From<TpmError>>(
    tcti: &Tcti,
    budget: &mut RetryBudget,
    mut job: impl FnMut(&mut Tpm<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let watchdog = budget.deadline().map(|deadline| Watchdog::start(deadline, START));
    loop {
        let context = open(tcti, budget)?;
        let mut tpm = Tpm {
            context,
            budget,
            watchdog: watchdog.as_ref(),
            connection_lost: false,
            has_derived: false,
        };
        let outcome = job(&mut tpm);
        if outcome.is_ok() || !tpm.connection_lost || !tpm.budget.pause() {
            return outcome;
        }
        drop(tpm);
        watchdog.iter().for_each(|watchdog| watchdog.enter(START));
    }
}

fn open(tcti: &Tcti, budget: &mut RetryBudget) -> Result<Context, TpmError> {
    loop {
        let error = match tcti.config().and_then(Context::new) {
            Ok(context) => return Ok(context),
            Err(error) => tcti.diagnose(error),
        };
        if !(error.is_transient() && budget.pause()) {
            return Err(error);
        }
    }
}

/// An open connection to the TPM. Dropping it flushes transient keys.
#[derive(Debug)]
pub struct Tpm<'a> {
    pub(super) context: Context,
    budget: &'a mut RetryBudget,
    watchdog: Option<&'a Watchdog>,
    connection_lost: bool,
    /// True if this run has loaded a key.
    pub(super) has_derived: bool,
}

impl Drop for Tpm<'_> {
    fn drop(&mut self) {
        self.enter(END);
    }
}

impl Tpm<'_> {
    fn enter(&self, command: &'static str) {
        if let Some(watchdog) = self.watchdog {
            watchdog.enter(command);
        }
    }

    /// Sends a command until the answer is not a transient error: success, or an error that the
    /// caller interprets.
    pub(super) fn run<T>(
        &mut self,
        command: &'static str,
        mut send: impl FnMut(&mut Context) -> TssResult<T>,
    ) -> Result<TssResult<T>, TpmError> {
        self.enter(command);
        // A key of this run looks like a leftover.
        let mut may_flush = !self.has_derived;
        loop {
            let error = match send(&mut self.context) {
                Ok(answer) => return Ok(Ok(answer)),
                Err(error) => error,
            };
            if is_connection_loss(error) {
                self.connection_lost = true;
                return Err(TpmError::ConnectionLost { command });
            }
            if !is_transient(kind(error)) {
                return Ok(Err(error));
            }
            if may_flush && kind(error) == Some(Kind::ObjectMemory) {
                may_flush = false;
                if self.flush_leftovers().unwrap_or(false) {
                    continue;
                }
            }
            if !self.budget.pause() {
                return Err(TpmError::StillBusy {
                    command,
                    reason: describe(error),
                    waited: self.budget.limit(),
                });
            }
        }
    }

    /// Flushes keys that a killed run left in a TPM without a resource manager. The resource
    /// manager behind `/dev/tpmrm0` flushes them itself.
    ///
    /// A TPM may have memory for only three transient objects, so leftovers would make every later
    /// derivation fail.
    fn flush_leftovers(&mut self) -> TssResult<bool> {
        let (handles, _) =
            self.context
                .get_capability(CapabilityType::Handles, FIRST_TRANSIENT, u32::from(u8::MAX))?;
        let CapabilityData::Handles(handles) = handles else {
            return Ok(false);
        };
        let mut flushed = false;
        for &handle in handles.iter() {
            let TpmHandle::Transient(_) = handle else {
                continue;
            };
            // A hash sequence, for example, has no public area.
            let Ok(mut object) = self.context.tr_from_tpm_public(handle) else {
                continue;
            };
            if self.is_ours(object) {
                self.context.flush_context(object)?;
                flushed = true;
            } else {
                // Otherwise dropping the context would flush it. tss-esapi forgets it, but returns
                // an error.
                let _ = self.context.tr_close(&mut object);
            }
        }
        Ok(flushed)
    }

    /// Returns true if this is an identity key. An object that cannot be read is not one.
    fn is_ours(&mut self, object: ObjectHandle) -> bool {
        self.context
            .read_public(object.into())
            .is_ok_and(|(public, name, qualified)| identity_key(&public, &name, &qualified).is_some())
    }
}
