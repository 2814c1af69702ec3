//! The thread that writes.
//!
//! It commits all waiting jobs in one transaction (group commit): the disk flushes once for many
//! devices, and each of them gets its result only after that.

use std::sync::mpsc;
use std::thread;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::StoreError;

/// The most jobs in one transaction, so that the first does not wait long for the last.
const MAX_JOBS: usize = 128;

/// Sends the result of a job after the commit; dropped if the transaction failed.
type SendResult = Box<dyn FnOnce() + Send>;
type Job = Box<dyn FnOnce(&Connection) -> SendResult + Send>;

#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the thread. It ends when the last clone of the writer is dropped.
    pub(super) fn start(connection: Connection) -> Self {
        let (jobs, queue) = mpsc::channel();
        thread::spawn(move || run(&connection, &queue));
        Self { jobs }
    }

    pub(super) fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, StoreError>> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = in_savepoint(connection, job);
            Box::new(move || {
                // The receiver may be gone.
                let _ = sender.send(result.map_err(StoreError::from));
            })
        });
        // If the thread has ended, the job is dropped, and the receiver gets an error.
        let _ = self.jobs.send(job);
        receiver
    }
}

fn run(connection: &Connection, queue: &mpsc::Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let begun = connection.execute_batch("BEGIN IMMEDIATE");
        let mut results = Vec::new();
        if begun.is_ok() {
            let others = queue.try_iter().take(MAX_JOBS - 1);
            results.extend(std::iter::once(first).chain(others).map(|job| job(connection)));
        }
        if let Err(error) = begun.and_then(|()| connection.execute_batch("COMMIT")) {
            tracing::error!("a transaction was not committed: {error}");
            // Fails if no transaction is open, which does not matter. The receivers get an error.
            let _ = connection.execute_batch("ROLLBACK");
            continue;
        }
        for send in results {
            send();
        }
    }
}

/// Undoes a job that fails, and not the others in its transaction.
fn in_savepoint<T>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.execute_batch("SAVEPOINT job")?;
    let result = job(connection);
    if result.is_err() {
        connection.execute_batch("ROLLBACK TO job")?;
    }
    connection.execute_batch("RELEASE job")?;
    result
}
