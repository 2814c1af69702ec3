//! Threads that may block, for the work on a request.

use tokio::task::{JoinHandle, spawn_blocking};
use tracing::Span;

/// Runs `work` in a thread that may block. Its lines in the log name the request.
pub(crate) fn spawn_in_span<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let span = Span::current();
    spawn_blocking(move || span.in_scope(work))
}
