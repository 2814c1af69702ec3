//! Ordered parallel work on a stream, with bounded memory.
//!
//! Worker threads take turns at reading the stream and work at the same time. The calling thread gets
//! the results in the order of the stream, while the workers go on.

use std::io;
use std::num::NonZero;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use miette::Diagnostic;
use thiserror::Error;

/// Groups of results that wait for the caller, for each worker. While one worker is late, because the
/// system runs another program on its core, the others go on for so long.
const WAITING_GROUPS: usize = 16;

/// The system starts no more threads.
#[derive(Debug, Error, Diagnostic)]
#[error("cannot start {count} threads: {reason}")]
#[diagnostic(
    code("threads-not-started"),
    help("Lower --jobs, or raise the limits of processes and memory")
)]
pub(crate) struct ThreadsError {
    count: usize,
    reason: io::Error,
}

/// Worker threads and what each takes at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workers {
    /// The number of threads; 0 for one per core.
    pub(crate) count: usize,
    /// The number of items that a worker reads at a time: many if the work on each is short, 1 if it
    /// takes much longer than waking up a thread.
    pub(crate) group: usize,
}

impl Workers {
    fn threads(self) -> usize {
        match self.count {
            0 => thread::available_parallelism().map_or(1, NonZero::get),
            count => count,
        }
    }
}

/// Runs `work` on all `items` in parallel and hands each result to `take`, in the order of the items.
///
/// # Errors
/// The first error of `take`, after which no further item is read, and [`ThreadsError`].
pub(crate) fn run<T: Send, R: Send, E: From<ThreadsError>>(
    items: impl Iterator<Item = T> + Send,
    workers: Workers,
    work: impl Fn(T) -> R + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let count = workers.threads();
    let (queue, groups) = mpsc::sync_channel(count.saturating_mul(WAITING_GROUPS));
    let source = Mutex::new(Source {
        items,
        queue: Some(queue),
    });
    thread::scope(|scope| {
        // Dropped on every return, so that the workers end.
        let groups = groups;
        for _ in 0..count {
            thread::Builder::new()
                .spawn_scoped(scope, || {
                    while let Some((items, results)) = next_group(&source, workers.group) {
                        // The receiver is gone if `take` failed.
                        let _ = results.send(items.into_iter().map(&work).collect());
                    }
                })
                .map_err(|reason| ThreadsError { count, reason })?;
        }
        for group in groups {
            // Without a result if the worker panicked; the scope repeats the panic.
            for result in group.recv().unwrap_or_default() {
                take(result)?;
            }
        }
        Ok(())
    })
}

/// The items not read yet, and the queue that keeps the order of those in work.
struct Source<I, R> {
    items: I,
    /// The results of each group; closed at the end of the items.
    queue: Option<SyncSender<Receiver<Vec<R>>>>,
}

/// Reads the next items and queues the receiver of their results.
fn next_group<T, R>(
    source: &Mutex<Source<impl Iterator<Item = T>, R>>,
    size: usize,
) -> Option<(Vec<T>, SyncSender<Vec<R>>)> {
    let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
    let queue = source.queue.take()?;
    let items: Vec<T> = source.items.by_ref().take(size).collect();
    if items.is_empty() {
        return None;
    }
    let (results, receiver) = mpsc::sync_channel(1);
    // Waits while the caller is behind; fails if the caller has stopped.
    queue.send(receiver).ok()?;
    source.queue = Some(queue);
    Some((items, results))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn workers(group: usize) -> Workers {
        Workers { count: 3, group }
    }

    #[test]
    fn results_have_the_order_of_the_items() {
        for group in [1, 7] {
            let mut results = Vec::new();
            let work = |item: u64| {
                thread::sleep(Duration::from_micros(item * 37 % 300));
                item * 2
            };
            let take = |result| {
                results.push(result);
                Ok::<_, ThreadsError>(())
            };
            run(0..500, workers(group), work, take).unwrap();
            assert_eq!(results, (0..500).map(|item| item * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_more_is_read_than_the_caller_can_take() {
        let read = AtomicUsize::new(0);
        let items = (0..1000).inspect(|_| {
            read.fetch_add(1, Ordering::Relaxed);
        });
        let mut most = 0;
        let mut taken = 0;
        let take = |_| {
            taken += 1;
            thread::sleep(Duration::from_micros(20));
            most = most.max(read.load(Ordering::Relaxed) - taken);
            Ok::<_, ThreadsError>(())
        };
        run(items, workers(2), |item| item, take).unwrap();
        // Waiting, in work, and with the caller.
        assert!(most <= 2 * (3 * WAITING_GROUPS + 3 + 1), "{most}");
    }

    #[test]
    fn an_error_of_the_caller_ends_an_endless_stream() {
        #[derive(Debug)]
        struct Enough;
        impl From<ThreadsError> for Enough {
            fn from(_: ThreadsError) -> Self {
                Enough
            }
        }
        let take = |item| if item == 100 { Err(Enough) } else { Ok(()) };
        run(0.., workers(2), |item| item, take).unwrap_err();
    }
}
