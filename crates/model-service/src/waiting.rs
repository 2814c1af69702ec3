//! Requests that wait while the database or a key is briefly unavailable.
//!
//! snapd waits 30 seconds for an answer. A refused request costs the device at least a minute, so
//! that a request waits first. Each step of it is tried again alone: what an earlier step did stays
//! done, so that a nonce is used once, and a signature that was made is the one that is stored.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::secret::{RandomError, random_number};

/// The pause before the next attempt.
const PAUSE: Duration = Duration::from_millis(250);

/// An error that may pass.
pub(crate) trait Transient {
    /// Returns true if the same step may succeed soon, and it is safe to try it again.
    fn is_transient(&self) -> bool;
}

/// The places for requests that wait.
pub(crate) struct Waiting {
    longest: Duration,
    places: Arc<Semaphore>,
    /// Requests that wait.
    count: Gauge,
}

impl Waiting {
    /// At most this number of requests wait at a time, each at most this number of seconds.
    pub(crate) fn new(seconds: u32, requests: u32, count: Gauge) -> Self {
        Self {
            longest: Duration::from_secs(seconds.into()),
            places: Arc::new(Semaphore::new(requests as usize)),
            count,
        }
    }

    /// For a request that has arrived now.
    pub(crate) fn begin(&self) -> Result<Wait, RandomError> {
        Ok(Wait {
            deadline: Instant::now() + self.longest,
            places: Arc::clone(&self.places),
            count: self.count.clone(),
            place: Mutex::default(),
            work: Mutex::default(),
            attempt: random_number()?,
        })
    }
}

/// The waiting of one request.
pub(crate) struct Wait {
    deadline: Instant,
    places: Arc<Semaphore>,
    count: Gauge,
    /// Kept from the first pause to the end of the request.
    place: Mutex<Option<OwnedSemaphorePermit>>,
    /// The permit of the thread to work; others work during a pause.
    work: Mutex<Option<WorkPermit>>,
    /// A number that no other request has, see [`Store::consume_nonce`](crate::store::Store).
    pub(crate) attempt: i64,
}

/// The permit to work, and where it comes from.
struct WorkPermit {
    permits: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Wait {
    /// Gives the permit back during a pause, and at the end of the request.
    pub(crate) fn with_permit(mut self, permits: &Arc<Semaphore>, permit: OwnedSemaphorePermit) -> Self {
        let work = WorkPermit {
            permits: Arc::clone(permits),
            permit: Some(permit),
        };
        self.work = Mutex::new(Some(work));
        self
    }

    /// Runs `work`, and again after transient errors as long as the request may wait. Blocks the
    /// calling thread, which may block.
    pub(crate) fn retry<T, E: Transient>(&self, mut work: impl FnMut() -> Result<T, E>) -> Result<T, E> {
        loop {
            match work() {
                Err(error) if error.is_transient() && self.may_pause() => self.pause(),
                result => return result,
            }
        }
    }

    /// As [`retry`](Self::retry), for work that does not block.
    pub(crate) async fn retry_async<T, E: Transient, F: Future<Output = Result<T, E>>>(
        &self,
        mut work: impl FnMut() -> F,
    ) -> Result<T, E> {
        loop {
            match work().await {
                Err(error) if error.is_transient() && self.may_pause() => tokio::time::sleep(PAUSE).await,
                result => return result,
            }
        }
    }

    /// Returns true if there is time for a pause and the request has a place.
    fn may_pause(&self) -> bool {
        if Instant::now() + PAUSE > self.deadline {
            return false;
        }
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() {
            *place = Arc::clone(&self.places).try_acquire_owned().ok();
            match place.is_some() {
                true => drop(self.count.inc()),
                false => tracing::warn!("too many requests wait: this one is refused at once"),
            }
        }
        place.is_some()
    }

    fn pause(&self) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(work) = work.as_mut() {
            work.permit = None;
        }
        thread::sleep(PAUSE);
        if let Some(work) = work.as_mut() {
            let permit = Handle::current().block_on(Arc::clone(&work.permits).acquire_owned());
            work.permit = permit.ok();
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let place = self.place.get_mut().unwrap_or_else(PoisonError::into_inner);
        if place.is_some() {
            self.count.dec();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Failure {
        transient: bool,
    }

    impl Transient for Failure {
        fn is_transient(&self) -> bool {
            self.transient
        }
    }

    const AWAY: Failure = Failure { transient: true };

    #[test]
    fn transient_errors_are_tried_again_and_others_are_not() {
        let waiting = Waiting::new(60, 1, Gauge::default());
        let wait = waiting.begin().unwrap();
        let mut attempts = 0;
        let result = wait.retry(|| {
            attempts += 1;
            if attempts == 3 { Ok(attempts) } else { Err(AWAY) }
        });
        assert_eq!(result, Ok(3));
        let mut attempts = 0;
        let final_error = Failure { transient: false };
        let result: Result<(), _> = wait.retry(|| {
            attempts += 1;
            Err(Failure { transient: false })
        });
        assert_eq!((result, attempts), (Err(final_error), 1));
    }

    #[test]
    fn a_request_beyond_the_places_does_not_wait() {
        let count = Gauge::default();
        let waiting = Waiting::new(60, 1, count.clone());
        let first = waiting.begin().unwrap();
        assert!(first.may_pause() && first.may_pause());
        let mut attempts = 0;
        let second = waiting.begin().unwrap();
        let result: Result<(), _> = second.retry(|| {
            attempts += 1;
            Err(AWAY)
        });
        assert_eq!((result, attempts, count.get()), (Err(AWAY), 1, 1));
        drop(first);
        assert!(count.get() == 0 && second.may_pause());
    }

    #[test]
    fn without_time_nothing_waits() {
        let waiting = Waiting::new(0, 1, Gauge::default());
        assert!(!waiting.begin().unwrap().may_pause());
    }

    #[tokio::test]
    async fn others_work_during_a_pause() {
        let waiting = Waiting::new(60, 1, Gauge::default());
        let permits = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
        let wait = waiting.begin().unwrap().with_permit(&permits, permit);
        let (paused, has_paused) = std::sync::mpsc::channel();
        let others = Arc::clone(&permits);
        let thread = tokio::task::spawn_blocking(move || {
            let mut attempts = 0;
            wait.retry(|| {
                attempts += 1;
                let _ = paused.send(());
                if attempts == 2 { Ok(()) } else { Err(AWAY) }
            })
        });
        tokio::task::spawn_blocking(move || has_paused.recv().unwrap())
            .await
            .unwrap();
        let other = others.acquire_owned().await.unwrap();
        drop(other);
        assert_eq!(thread.await.unwrap(), Ok(()));
        assert_eq!(permits.available_permits(), 1);
    }
}
