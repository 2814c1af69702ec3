//! The thread that writes.
//!
//! It commits all waiting jobs in one transaction (group commit): the disk flushes once for many
//! devices, and each of them gets its result only after that. What the jobs record in the ledger is
//! flushed before the commit.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::files::OpenedFiles;
use super::ledger::{Ledger, LedgerError};
use super::savepoint::in_savepoint;
use crate::store::{Event, StoreError};

/// The name of the thread that writes.
pub(crate) const WRITER_THREAD: &str = "store-writer";
/// The most jobs in one transaction, so that the first does not wait long for the last.
const MAX_JOBS: usize = 128;

/// Sends the result of a job after the commit, or the error if the transaction failed.
type SendResult = Box<dyn FnOnce(Option<&StoreError>) + Send>;
/// Runs in the transaction, and adds to the events that the ledger gets.
type Job = Box<dyn FnOnce(&Connection, &mut Vec<Event>) -> SendResult + Send>;

enum Message {
    Run(Job),
    /// Ends the thread after the jobs before it.
    Close,
}

#[derive(Clone)]
pub(super) struct Writer {
    messages: mpsc::Sender<Message>,
    thread: Arc<Mutex<Option<JoinHandle<Connection>>>>,
    /// The error after which nothing can be written any more.
    failure: watch::Receiver<Option<StoreError>>,
}

impl Writer {
    /// Makes the ledger and the database agree, and starts the thread. It ends when the writer is
    /// closed, or the last clone of it is dropped.
    pub(super) fn start(
        connection: Connection,
        ledger: Ledger,
        opened: Arc<OpenedFiles>,
    ) -> Result<Self, StoreError> {
        let (messages, queue) = mpsc::channel();
        let (failed, failure) = watch::channel(None);
        let mut state = State {
            connection,
            ledger,
            opened,
            failed,
        };
        // An error of the ledger shows when the service starts.
        state.transaction(Vec::new()).map_err(|(error, _)| error)?;
        let thread = thread::Builder::new()
            .name(WRITER_THREAD.to_owned())
            .spawn(move || {
                state.run(&queue);
                state.connection
            })
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self {
            messages,
            thread: Arc::new(Mutex::new(Some(thread))),
            failure,
        })
    }

    pub(super) fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection, &mut Vec<Event>) -> rusqlite::Result<T> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, StoreError>> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |connection, events| {
            let result = run(connection, events, job);
            Box::new(move |error| {
                let result = match error {
                    None => result.map_err(StoreError::from),
                    Some(error) => Err(error.clone()),
                };
                // The receiver may be gone.
                let _ = sender.send(result);
            })
        });
        // If the thread has ended, the job is dropped, and the receiver gets an error.
        let _ = self.messages.send(Message::Run(job));
        receiver
    }

    /// Waits for an error after which nothing can be written any more.
    pub(super) async fn failure(&self) -> StoreError {
        let mut failure = self.failure.clone();
        let failed = failure.wait_for(Option::is_some).await;
        failed
            .ok()
            .and_then(|error| error.clone())
            .unwrap_or(StoreError::Interrupted)
    }

    /// Ends the thread after the jobs submitted before, and returns its connection. Returns `None`
    /// if it has ended.
    pub(super) fn close(&self) -> Option<Connection> {
        let _ = self.messages.send(Message::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.and_then(|thread| thread.join().ok())
    }
}

struct State {
    connection: Connection,
    ledger: Ledger,
    opened: Arc<OpenedFiles>,
    failed: watch::Sender<Option<StoreError>>,
}

impl State {
    fn run(&mut self, queue: &mpsc::Receiver<Message>) {
        while let Ok(Message::Run(first)) = queue.recv() {
            let (mut jobs, mut closing) = (vec![first], false);
            while jobs.len() < MAX_JOBS {
                match queue.try_recv() {
                    Ok(Message::Run(job)) => jobs.push(job),
                    Ok(Message::Close) => {
                        closing = true;
                        break;
                    }
                    Err(_) => break,
                }
            }
            match self.transaction(jobs) {
                Ok(results) => results.into_iter().for_each(|send| send(None)),
                Err((error, results)) => {
                    tracing::error!(code = failure::code(&error), "nothing was committed: {error}");
                    results.into_iter().for_each(|send| send(Some(&error)));
                    if let StoreError::Replaced { .. } = error {
                        self.failed.send_replace(Some(error));
                        return;
                    }
                }
            }
            if closing {
                return;
            }
        }
    }

    /// Runs the jobs in one transaction and commits it. Of one that fails, nothing is kept.
    fn transaction(&mut self, jobs: Vec<Job>) -> Result<Vec<SendResult>, (StoreError, Vec<SendResult>)> {
        if let Err(error) = self.connection.execute_batch("BEGIN IMMEDIATE") {
            // The jobs are dropped, and the receivers get an error.
            return Err((error.into(), Vec::new()));
        }
        let synced = self.ledger.sync(&self.connection);
        let (mut results, mut events) = (Vec::new(), Vec::new());
        for job in jobs {
            results.push(job(&self.connection, &mut events));
        }
        match self.finish(synced, &events, results.is_empty()) {
            Ok(()) => Ok(results),
            Err(error) => {
                // Fails if no transaction is open, which does not matter.
                let _ = self.connection.execute_batch("ROLLBACK");
                Err((error, results))
            }
        }
    }

    /// Writes the ledger, then commits. Nonces are given out with a broken ledger too.
    fn finish(
        &mut self,
        synced: Result<(), LedgerError>,
        events: &[Event],
        needs_ledger: bool,
    ) -> Result<(), StoreError> {
        if needs_ledger || !events.is_empty() {
            synced?;
        }
        self.opened.check()?;
        if !events.is_empty() {
            self.ledger.append(&self.connection, events)?;
            // Flushing takes a while.
            self.opened.check()?;
        }
        Ok(self.connection.execute_batch("COMMIT")?)
    }
}

/// Undoes a job that fails, and not the others in its transaction.
fn run<T>(
    connection: &Connection,
    events: &mut Vec<Event>,
    job: impl FnOnce(&Connection, &mut Vec<Event>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let before = events.len();
    let result = in_savepoint(connection, || job(connection, events));
    if result.is_err() {
        events.truncate(before);
    }
    result
}
