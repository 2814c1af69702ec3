//! The faults that the proxy injects, and its counts of commands.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::wire::Command;

/// A fault that a command meets.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The TPM does not get the command. The sender gets this response code (TPM_RC).
    Respond(u32),
    /// The TPM executes the command. The sender gets this response code (TPM_RC).
    RespondAfter(u32),
    /// The TPM gets the command after this time.
    Delay(Duration),
    /// The TPM does not get the command. The connection of the sender is closed.
    Cut,
    /// The TPM executes the command. The connection of the sender is closed instead of an answer.
    CutAfter,
    /// The TPM gets the command when the gate is open.
    Hold(Gate),
    /// The TPM executes the command. The sender gets the response when the gate is open.
    HoldAfter(Gate),
}

/// Which of the matching commands meet a fault, counted from the call that set the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Only the n-th command; the first is `Nth(1)`.
    Nth(u64),
    /// The first n commands.
    Next(u64),
    /// Every command.
    Always,
}

impl When {
    fn includes(self, occurrence: u64) -> bool {
        match self {
            When::Nth(n) => occurrence == n,
            When::Next(n) => occurrence <= n,
            When::Always => true,
        }
    }
}

/// A point at which commands wait until the test releases them. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    inner: Arc<(Mutex<GateState>, Condvar)>,
}

#[derive(Debug, Default)]
struct GateState {
    open: bool,
    arrived: usize,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until `count` commands in total have reached the gate. Returns an error after `limit`.
    pub fn wait_for(&self, count: usize, limit: Duration) -> Result<()> {
        let (state, changed) = &*self.inner;
        let waited = changed.wait_timeout_while(lock(state), limit, |state| state.arrived < count);
        let arrived = waited.unwrap_or_else(PoisonError::into_inner).0.arrived;
        ensure!(
            arrived >= count,
            "{arrived} of {count} commands reached the gate within {limit:?}; check the command of the fault"
        );
        Ok(())
    }

    /// Opens the gate for all waiting and all later commands.
    pub fn release(&self) {
        let (state, changed) = &*self.inner;
        lock(state).open = true;
        changed.notify_all();
    }

    /// Reaches the gate and waits until it is open.
    pub(crate) fn pass(&self) {
        let (state, changed) = &*self.inner;
        let mut state = lock(state);
        state.arrived += 1;
        changed.notify_all();
        drop(changed.wait_while(state, |state| !state.open));
    }
}

/// The faults that are set, and the counts of commands.
#[derive(Debug, Default)]
pub(crate) struct Script {
    rules: Vec<Rule>,
    counts: BTreeMap<u32, u64>,
}

#[derive(Debug)]
struct Rule {
    command: Command,
    when: When,
    fault: Fault,
    seen: u64,
}

impl Script {
    pub(crate) fn add(&mut self, command: Command, when: When, fault: Fault) {
        self.rules.push(Rule {
            command,
            when,
            fault,
            seen: 0,
        });
    }

    /// Removes all faults. Commands that wait at a gate continue.
    pub(crate) fn clear_faults(&mut self) {
        for rule in self.rules.drain(..) {
            if let Fault::Hold(gate) | Fault::HoldAfter(gate) = rule.fault {
                gate.release();
            }
        }
    }

    pub(crate) fn counts(&self) -> &BTreeMap<u32, u64> {
        &self.counts
    }

    pub(crate) fn reset_counts(&mut self) {
        self.counts.clear();
    }

    /// Counts a command, also in every rule that matches it. Returns the fault of the first rule
    /// that includes it.
    pub(crate) fn next_fault(&mut self, code: u32) -> Option<Fault> {
        *self.counts.entry(code).or_default() += 1;
        let mut fault = None;
        for rule in &mut self.rules {
            if rule.command.code().is_none_or(|wanted| wanted == code) {
                rule.seen += 1;
                if fault.is_none() && rule.when.includes(rule.seen) {
                    fault = Some(rule.fault.clone());
                }
            }
        }
        fault
    }
}

/// Locks a mutex whose data stays valid if a thread panics while it holds the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
