//! The one thread that writes. It commits all jobs that wait together: the disk is asked to flush once for
//! many devices, and each of them hears only after that.

use std::sync::mpsc;
use std::thread;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::StoreError;

/// The most jobs in one transaction, so that the first does not wait long for the last.
const BATCH: usize = 128;

/// Tells whoever waits that the transaction was committed; dropped where it was not.
type Answer = Box<dyn FnOnce() + Send>;
type Job = Box<dyn FnOnce(&Connection) -> Answer + Send>;

#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the thread; it ends when the last clone of the writer is gone.
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
                // Whoever asked may have gone.
                let _ = sender.send(result.map_err(StoreError::from));
            })
        });
        // Without a thread the job is dropped, and the receiver hears that.
        let _ = self.jobs.send(job);
        receiver
    }
}

fn run(connection: &Connection, queue: &mpsc::Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let begun = connection.execute_batch("BEGIN IMMEDIATE");
        let mut answers = Vec::new();
        if begun.is_ok() {
            let others = queue.try_iter().take(BATCH - 1);
            answers.extend(std::iter::once(first).chain(others).map(|job| job(connection)));
        }
        if let Err(error) = begun.and_then(|()| connection.execute_batch("COMMIT")) {
            tracing::error!("a transaction was not committed: {error}");
            // Fails where there is no transaction, which is as well. Those who wait hear that nothing was written.
            let _ = connection.execute_batch("ROLLBACK");
            continue;
        }
        for answer in answers {
            answer();
        }
    }
}

/// A job that fails is undone, and the others in its transaction are not.
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
