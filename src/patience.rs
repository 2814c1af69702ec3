//! Waiting out what passes by itself: a TPM that is busy, a device node that is not there yet.

use std::thread;
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// No further attempt is made after so long, pauses or not. A dead TPM answers each command only when the kernel gives
/// it up, after two to five minutes; snapd kills a hook after ten, and nobody would see why it failed.
const LAST_ATTEMPT: Duration = Duration::from_secs(300);

/// How much longer to wait, over all that has to be waited for in one run.
///
/// snapd starts a failed registration again after five minutes at the earliest, so that even a long wait here
/// is shorter. Only the pauses count towards the limit, not the time that the TPM computes: a slow TPM takes a
/// minute to derive an RSA key.
#[derive(Debug)]
pub struct Patience {
    start: Instant,
    limit: Duration,
    left: Duration,
    next: Duration,
}

impl Patience {
    /// Waits at most `limit` in all.
    pub fn new(limit: Duration) -> Self {
        Patience {
            start: Instant::now(),
            limit,
            left: limit,
            next: FIRST_PAUSE,
        }
    }

    /// Pauses, each time for longer. False, at once, where the limit is reached or it is too late for another attempt.
    pub(crate) fn pause(&mut self) -> bool {
        if self.left.is_zero() || self.start.elapsed() >= LAST_ATTEMPT {
            return false;
        }
        let pause = self.next.min(self.left);
        thread::sleep(pause);
        self.left -= pause;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        true
    }

    /// The limit it began with.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_end_at_the_limit() {
        let mut patience = Patience::new(FIRST_PAUSE + FIRST_PAUSE / 2);
        assert!(patience.pause());
        assert!(patience.pause());
        assert!(!patience.pause());
        assert!(!Patience::new(Duration::ZERO).pause());
    }
}
