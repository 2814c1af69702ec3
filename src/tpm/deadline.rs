//! The deadline for the TPM commands of a run.
//!
//! A command can hang: a faulty TPM, or a network TCTI that sends a byte now and then. tpm2-tss
//! waits for ever, and snapd kills a hook after ten minutes without showing why. A thread of the
//! run ends it before, with an error that names the command.

use std::fmt;
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::TpmError;

/// The limit of a hook. snapd kills a hook after ten minutes; calls of snapctl and a console that
/// nobody reads take a minute each at most. Retries end after five minutes, and a slow TPM takes a
/// minute to make an RSA key.
const HOOK_LIMIT: Duration = Duration::from_secs(8 * 60);

/// The deadline for all TPM commands of a run together.
#[derive(Clone)]
pub struct TpmDeadline {
    limit: Duration,
    end: Instant,
    on_expiry: Arc<dyn Fn(TpmError) + Send + Sync>,
}

impl TpmDeadline {
    /// A deadline `limit` from now. `on_expiry` is called with [`TpmError::TimedOut`] if a command
    /// has not ended by then, from another thread, and has to end the process. It is never called
    /// after the commands, so that what a run writes with their results is not interrupted.
    pub fn new(limit: Duration, on_expiry: impl Fn(TpmError) + Send + Sync + 'static) -> Self {
        TpmDeadline {
            limit,
            end: Instant::now() + limit,
            on_expiry: Arc::new(on_expiry),
        }
    }

    /// The deadline of a hook, eight minutes from now. `report` gets the error and returns the exit
    /// status of the process.
    pub fn of_hook(report: impl Fn(TpmError) -> i32 + Send + Sync + 'static) -> Self {
        Self::new(HOOK_LIMIT, move |error| process::exit(report(error)))
    }
}

impl fmt::Debug for TpmDeadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TpmDeadline")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Watches the TPM commands of a run. Dropping it ends the watch.
#[derive(Debug)]
pub(super) struct Watchdog {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    /// The command that is running; `None` after the last one.
    command: Mutex<Option<&'static str>>,
    ended: Condvar,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Option<&'static str>> {
        self.command.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watchdog {
    /// Without a thread, only snapd's own limit is left.
    pub(super) fn start(deadline: &TpmDeadline, command: &'static str) -> Self {
        let state = Arc::new(State {
            command: Mutex::new(Some(command)),
            ended: Condvar::new(),
        });
        let (watched, deadline) = (Arc::clone(&state), deadline.clone());
        let thread = thread::Builder::new().spawn(move || watch(&watched, &deadline));
        Watchdog {
            state,
            thread: thread.ok(),
        }
    }

    /// Notes which command runs from now on.
    pub(super) fn enter(&self, command: &'static str) {
        *self.state.lock() = Some(command);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.state.lock() = None;
        self.state.ended.notify_all();
        if let Some(thread) = self.thread.take() {
            // It panics only with the caller's function.
            let _ = thread.join();
        }
    }
}

fn watch(state: &State, deadline: &TpmDeadline) {
    let left = deadline.end.saturating_duration_since(Instant::now());
    let is_running = |command: &mut Option<&str>| command.is_some();
    let outcome = state.ended.wait_timeout_while(state.lock(), left, is_running);
    // Held until the process has ended, so that the run cannot go on.
    let (command, _) = outcome.unwrap_or_else(PoisonError::into_inner);
    if let Some(command) = *command {
        (deadline.on_expiry)(TpmError::TimedOut {
            command,
            limit: deadline.limit,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_command_that_runs_at_the_deadline_is_named() {
        let (sender, expired) = mpsc::channel();
        let deadline = TpmDeadline::new(Duration::ZERO, move |error| sender.send(error).unwrap());
        let _watchdog = Watchdog::start(&deadline, "TPM2_Sign");
        let error = expired.recv().unwrap();
        assert!(
            matches!(
                error,
                TpmError::TimedOut {
                    command: "TPM2_Sign",
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn nothing_expires_after_the_last_command() {
        let (sender, expired) = mpsc::channel();
        let deadline = TpmDeadline::new(Duration::from_secs(3600), move |error| {
            sender.send(error).unwrap()
        });
        let watchdog = Watchdog::start(&deadline, "TPM2_Sign");
        watchdog.enter("TPM2_FlushContext");
        drop(watchdog);
        drop(deadline);
        // The thread has ended too.
        assert!(expired.recv().is_err());
    }
}
