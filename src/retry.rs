//! The retry budget: how long a run waits for transient errors, such as a TPM that is busy or a
//! device node that does not exist yet.

use std::thread;
use std::time::{Duration, Instant};

use crate::tpm::TpmDeadline;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// No attempt starts after this time, whatever is left of the budget. A dead TPM answers each
/// command only when the kernel gives up, after two to five minutes, and snapd kills a hook after
/// ten minutes without showing why it failed.
const LAST_ATTEMPT: Duration = Duration::from_secs(300);

/// The time that one run may spend on pauses between attempts, over all operations that it retries.
///
/// snapd repeats a failed registration after five minutes at the earliest, so even a long pause
/// here is shorter. Only pauses use up the budget, not the time that the TPM computes: a slow TPM
/// takes a minute to derive an RSA key.
#[derive(Debug)]
pub struct RetryBudget {
    start: Instant,
    limit: Duration,
    left: Duration,
    next: Duration,
    deadline: Option<TpmDeadline>,
}

impl RetryBudget {
    /// A budget of `limit` for all pauses together.
    pub fn new(limit: Duration) -> Self {
        RetryBudget {
            start: Instant::now(),
            limit,
            left: limit,
            next: FIRST_PAUSE,
            deadline: None,
        }
    }

    /// The same budget, with a deadline for the TPM commands of the run.
    pub fn with_deadline(mut self, deadline: TpmDeadline) -> Self {
        self.deadline = Some(deadline);
        self
    }

    pub(crate) fn deadline(&self) -> Option<&TpmDeadline> {
        self.deadline.as_ref()
    }

    /// Pauses before the next attempt, longer each time. Returns false, without a pause, if the
    /// budget is used up or it is too late for another attempt.
    pub(crate) fn pause(&mut self) -> bool {
        let pause = self.next_pause(self.start.elapsed());
        if let Some(pause) = pause {
            thread::sleep(pause);
        }
        pause.is_some()
    }

    /// The limit that the budget started with.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Takes the next pause from the budget, `elapsed` after its start.
    fn next_pause(&mut self, elapsed: Duration) -> Option<Duration> {
        if self.left.is_zero() || elapsed >= LAST_ATTEMPT {
            return None;
        }
        let pause = self.next.min(self.left);
        self.left -= pause;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_get_longer_and_end_with_the_budget() {
        let mut budget = RetryBudget::new(FIRST_PAUSE * 4);
        let mut pause = || budget.next_pause(Duration::ZERO);
        assert_eq!(pause(), Some(FIRST_PAUSE));
        assert_eq!(pause(), Some(FIRST_PAUSE * 2));
        assert_eq!(pause(), Some(FIRST_PAUSE));
        assert_eq!(pause(), None);
        assert!(!RetryBudget::new(Duration::ZERO).pause());
        assert!(RetryBudget::new(FIRST_PAUSE).pause());
    }

    #[test]
    fn no_attempt_starts_after_five_minutes() {
        let mut budget = RetryBudget::new(LAST_ATTEMPT * 10);
        assert!(budget.next_pause(Duration::from_secs(299)).is_some());
        assert_eq!(budget.next_pause(Duration::from_secs(300)), None);
        assert_eq!(budget.next_pause(Duration::from_secs(3000)), None);
    }
}
