//! Faults that the proxy puts between a TPM and its users, and the counts it keeps.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::wire::Command;

/// What happens to a command.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The TPM never sees the command; its sender gets this response code (TPM_RC).
    Respond(u32),
    /// The TPM executes the command, but its sender gets this response code (TPM_RC).
    RespondAfter(u32),
    /// The TPM gets the command only after this time.
    Delay(Duration),
    /// The TPM never sees the command; its sender's connection is closed.
    Cut,
    /// The TPM executes the command; its sender's connection is closed instead of answered.
    CutAfter,
    /// The TPM gets the command only when the gate is open.
    Hold(Gate),
    /// The TPM executes the command; its sender gets the response only when the gate is open.
    HoldAfter(Gate),
}

/// Which of the matching commands a fault hits, counted from the moment it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The n-th one alone; the first is `Nth(1)`.
    Nth(u64),
    /// The first so many.
    Next(u64),
    /// Every one.
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

/// A point at which commands wait until the test lets them go on. Clones are the same gate.
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

    /// Waits until `count` commands in all have come to the gate; an error after `limit`.
    pub fn wait_for(&self, count: usize, limit: Duration) -> Result<()> {
        let (state, changed) = &*self.inner;
        let waited = changed.wait_timeout_while(lock(state), limit, |state| state.arrived < count);
        let arrived = waited.unwrap_or_else(PoisonError::into_inner).0.arrived;
        ensure!(
            arrived >= count,
            "{arrived} of {count} commands came to the gate within {limit:?}; was the fault set for the right command?"
        );
        Ok(())
    }

    /// Lets all waiting commands and all later ones through.
    pub fn release(&self) {
        let (state, changed) = &*self.inner;
        lock(state).open = true;
        changed.notify_all();
    }

    /// Comes to the gate and waits until it is open.
    pub(crate) fn pass(&self) {
        let (state, changed) = &*self.inner;
        let mut state = lock(state);
        state.arrived += 1;
        changed.notify_all();
        drop(changed.wait_while(state, |state| !state.open));
    }
}

/// The faults asked for and the commands seen so far.
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

    /// Forgets all faults; commands that wait at a gate go on.
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

    /// Counts a command and says which fault it meets: the first rule that includes it. Every matching rule counts it.
    pub(crate) fn meet(&mut self, code: u32) -> Option<Fault> {
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

/// Locks a mutex whose data is valid even if a thread panicked while it held it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
