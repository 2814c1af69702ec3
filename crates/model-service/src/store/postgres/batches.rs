//! Group commits: what concurrent requests need of one kind runs as one statement.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::store::StoreError;
use crate::waiting::Transient as _;

/// The most inputs in a batch, so that the first does not wait long for the last.
const MAX_BATCH: usize = 128;

/// The least time between the starts of two batches of a kind: under load, when more requests gather
/// in it, the database has less to do for each of them. A request that comes alone does not wait.
const SPACING: Duration = Duration::from_millis(10);

/// Runs a batch: a result for each input, in the same order.
pub(super) type RunBatch<I, O> =
    Box<dyn Fn(Arc<Vec<I>>) -> BoxFuture<'static, Result<Vec<O>, StoreError>> + Send + Sync>;

type Answer<O> = oneshot::Sender<Result<O, StoreError>>;

/// A queue of inputs. While a batch runs, the next one gathers.
pub(super) struct Batches<I, O> {
    queue: mpsc::UnboundedSender<(I, Answer<O>)>,
}

impl<I: Send + Sync + 'static, O: Send + 'static> Batches<I, O> {
    /// Starts the task that runs the batches. It ends with the queue, and earlier only by a fault,
    /// which `ended` shows.
    pub(super) fn start(handle: &Handle, run: RunBatch<I, O>, ended: watch::Sender<bool>) -> Self {
        let (queue, mut waiting) = mpsc::unbounded_channel::<(I, Answer<O>)>();
        handle.spawn(async move {
            let _ended = SetWhenDropped(ended);
            let mut gathered = Vec::new();
            let mut next = Instant::now();
            while waiting.recv_many(&mut gathered, MAX_BATCH).await > 0 {
                sleep_until(next).await;
                next = Instant::now() + SPACING;
                gather(&mut waiting, &mut gathered);
                let (inputs, answers): (Vec<_>, Vec<_>) = gathered.drain(..).unzip();
                answer(&run, inputs, answers).await;
            }
        });
        Self { queue }
    }

    pub(super) fn submit(&self, input: I) -> oneshot::Receiver<Result<O, StoreError>> {
        let (sender, receiver) = oneshot::channel();
        // If the task has ended, the receiver gets an error.
        let _ = self.queue.send((input, sender));
        receiver
    }

    /// Waits for the result.
    pub(super) async fn run(&self, input: I) -> Result<O, StoreError> {
        self.submit(input).await.unwrap_or(Err(StoreError::Interrupted))
    }

    /// As [`run`](Self::run); blocks the calling thread.
    pub(super) fn run_blocking(&self, input: I) -> Result<O, StoreError> {
        let result = self.submit(input).blocking_recv();
        result.unwrap_or(Err(StoreError::Interrupted))
    }
}

/// Adds the inputs that came while the batch waited.
fn gather<T>(waiting: &mut mpsc::UnboundedReceiver<T>, gathered: &mut Vec<T>) {
    while gathered.len() < MAX_BATCH
        && let Ok(input) = waiting.try_recv()
    {
        gathered.push(input);
    }
}

async fn answer<I, O>(run: &RunBatch<I, O>, inputs: Vec<I>, answers: Vec<Answer<O>>) {
    let inputs = Arc::new(inputs);
    let results = run(Arc::clone(&inputs)).await;
    match results {
        Ok(results) => {
            for (answer, result) in answers.into_iter().zip(results) {
                // The receiver may be gone.
                let _ = answer.send(Ok(result));
            }
        }
        // One input with a value that the database refuses must not fail the others. All else would
        // fail for each of them, after the longest time for each.
        Err(StoreError::Refused(_)) if answers.len() > 1 => {
            let inputs = Arc::try_unwrap(inputs).unwrap_or_default();
            for (answer, input) in answers.into_iter().zip(inputs) {
                let result = run(Arc::new(vec![input])).await;
                let _ = answer.send(result.and_then(|mut one| one.pop().ok_or(StoreError::Interrupted)));
            }
        }
        Err(error) => {
            let (code, requests) = (failure::code(&error), answers.len());
            match error.is_transient() {
                // The requests try again, or tell how they failed.
                true => tracing::warn!(code, requests, "a batch failed: {error}"),
                false => tracing::error!(code, requests, "a batch failed: {error}"),
            }
            for answer in answers {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }
}

/// Tells that a task ended.
struct SetWhenDropped(watch::Sender<bool>);

impl Drop for SetWhenDropped {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}
