//! Ordered parallel work on a stream, with bounded memory.
//!
//! Worker threads take turns at reading the stream and work at the same time. The calling thread gets
//! the results in the order of the stream, while the workers go on.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use miette::Diagnostic;
use thiserror::Error;

/// Groups that are in work or wait for the caller, for each worker. While one worker is late,
/// because the system runs another program on its core, the others go on for so long.
const WAITING_GROUPS: usize = 16;
/// The longest time that a result waits before the caller gets it. It gets results earlier if there
/// are many: to wake it up for each would take 1 % of the time of the signatures.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

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
    /// The number of items that a worker reads at a time: many if the work on each is short.
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
    let items = Mutex::new(items);
    let queue = Queue::new(count.saturating_mul(WAITING_GROUPS));
    thread::scope(|scope| {
        let _stop = StopOnDrop(&queue);
        for _ in 0..count {
            let work_on_groups = || {
                // Else the caller would wait for the group of a worker that panics.
                let running = StopOnDrop(&queue);
                while let Some((number, group)) = next_group(&items, workers.group, &queue) {
                    queue.put(number, group.into_iter().map(&work).collect());
                }
                mem::forget(running);
            };
            thread::Builder::new()
                .spawn_scoped(scope, work_on_groups)
                .map_err(|reason| ThreadsError { count, reason })?;
        }
        while let Some(groups) = queue.take() {
            groups.into_iter().flatten().try_for_each(&mut take)?;
        }
        // If a worker panicked, the scope repeats the panic.
        Ok(())
    })
}

/// Reads the next items, and reserves a place for their results in the queue.
fn next_group<T, R>(
    items: &Mutex<impl Iterator<Item = T>>,
    size: usize,
    queue: &Queue<R>,
) -> Option<(u64, Vec<T>)> {
    // Until the items are read, so that the places have the same order.
    let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
    let number = queue.reserve()?;
    let group: Vec<T> = items.by_ref().take(size).collect();
    if group.is_empty() {
        queue.end();
        return None;
    }
    Some((number, group))
}

/// The groups of results between the workers and the caller.
struct Queue<R> {
    /// The most groups that the caller does not have yet.
    limit: usize,
    state: Mutex<State<R>>,
    /// Wakes workers that wait for a place.
    has_place: Condvar,
    /// Wakes the caller.
    has_results: Condvar,
}

struct State<R> {
    /// The groups that the caller does not have yet, in order; `None` for one in work.
    groups: VecDeque<Option<Vec<R>>>,
    /// The number of groups that the caller has.
    taken: u64,
    /// Nothing remains to be read.
    is_ended: bool,
    /// The caller has returned, or a worker panicked.
    is_stopped: bool,
}

impl<R> Queue<R> {
    fn new(limit: usize) -> Self {
        Queue {
            limit,
            state: Mutex::new(State {
                groups: VecDeque::new(),
                taken: 0,
                is_ended: false,
                is_stopped: false,
            }),
            has_place: Condvar::new(),
            has_results: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of a new group, as soon as there is a place; `None` after the end.
    fn reserve(&self) -> Option<u64> {
        let is_full = |state: &mut State<R>| !state.is_stopped && state.groups.len() >= self.limit;
        let state = self.has_place.wait_while(self.lock(), is_full);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.is_ended || state.is_stopped {
            return None;
        }
        state.groups.push_back(None);
        Some(state.taken + state.groups.len() as u64 - 1)
    }

    /// Gives back the place that was reserved last, as nothing remains to be read.
    fn end(&self) {
        let mut state = self.lock();
        state.groups.pop_back();
        state.is_ended = true;
        self.has_results.notify_one();
    }

    fn put(&self, number: u64, results: Vec<R>) {
        let mut state = self.lock();
        let index = usize::try_from(number - state.taken).unwrap_or(usize::MAX);
        if let Some(place) = state.groups.get_mut(index) {
            *place = Some(results);
        }
        if state.is_worth_waking(self.limit) {
            self.has_results.notify_one();
        }
    }

    /// Waits for results and returns those that are next in order; `None` after the end.
    fn take(&self) -> Option<Vec<Vec<R>>> {
        let mut state = self.lock();
        loop {
            let waits = |state: &mut State<R>| !state.is_worth_waking(self.limit);
            let waited = self.has_results.wait_timeout_while(state, LONGEST_WAIT, waits);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.is_stopped || state.is_ended && state.groups.is_empty() {
                return None;
            }
            let mut ready = Vec::new();
            while let Some(group) = state.groups.pop_front_if(|group| group.is_some()) {
                ready.extend(group);
            }
            if !ready.is_empty() {
                state.taken += ready.len() as u64;
                self.has_place.notify_all();
                return Some(ready);
            }
        }
    }
}

impl<R> State<R> {
    /// Returns true if the caller has something to do, and enough of it.
    fn is_worth_waking(&self, limit: usize) -> bool {
        let is_ready = || matches!(self.groups.front(), Some(Some(_)));
        let is_many = || self.groups.iter().flatten().count() >= limit / 2;
        let is_over = self.is_ended && self.groups.is_empty();
        self.is_stopped || is_over || is_ready() && (self.is_ended || is_many())
    }
}

/// Stops the caller and the workers when it is dropped, also by a panic.
struct StopOnDrop<'a, R>(&'a Queue<R>);

impl<R> Drop for StopOnDrop<'_, R> {
    fn drop(&mut self) {
        self.0.lock().is_stopped = true;
        self.0.has_place.notify_all();
        self.0.has_results.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::panic;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
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
        // In the queue, and with the caller.
        assert!(most <= 2 * (3 * WAITING_GROUPS + 3 * WAITING_GROUPS), "{most}");
    }

    #[test]
    fn a_panic_of_a_worker_ends_all() {
        let work = |item| assert!(item < 100);
        let all = || run(0.., workers(1), work, |()| Ok::<_, ThreadsError>(()));
        panic::catch_unwind(all).unwrap_err();
    }

    #[test]
    fn a_single_result_reaches_the_caller_without_others() {
        let (taken, wait) = mpsc::channel();
        // The second item comes only when the caller has the result of the first.
        let items = (0..2).map(move |item| {
            if item == 1 {
                wait.recv().unwrap();
            }
        });
        let take = |()| {
            let _ = taken.send(());
            Ok::<_, ThreadsError>(())
        };
        run(items, workers(1), |item| item, take).unwrap();
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
