//! Work on several threads.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// One for each core.
pub static THREADS: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().unwrap().get());

/// Does `work` on all items with this number of threads, which take them in order; the results are
/// unordered.
pub fn parallel<I: Sync, T: Send>(threads: usize, items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    with_each(&mut vec![(); threads], items, |(), item| work(item))
}

/// The same with a thread for each of `tools`.
pub fn with_each<W: Send, I: Sync, T: Send>(
    tools: &mut [W],
    items: &[I],
    work: impl Fn(&mut W, &I) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let take_all = |tool: &mut W| -> Vec<T> {
        let items = std::iter::from_fn(|| items.get(next.fetch_add(1, Ordering::Relaxed)));
        items.map(|item| work(tool, item)).collect()
    };
    let take_all = &take_all;
    thread::scope(|scope| {
        let workers: Vec<_> = tools
            .iter_mut()
            .map(|tool| scope.spawn(move || take_all(tool)))
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    })
}
