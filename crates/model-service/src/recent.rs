//! Results that are used for a while, because anybody can ask for them.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// The last result, when it was made, and how long it is used.
#[derive(Debug)]
pub(crate) struct Recent<T>(Mutex<Option<(Instant, Duration, T)>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Recent<T> {
    /// The last result if it is recent, else what `make` gives. That is used for as long as
    /// `used_for` says of it and of the time that it took. One runs at a time: its result is that of
    /// all who ask meanwhile.
    pub(crate) async fn get(
        &self,
        make: impl Future<Output = T>,
        used_for: impl FnOnce(&T, Duration) -> Duration,
    ) -> T {
        let mut last = self.0.lock().await;
        if let Some((made, used_for, result)) = last.as_ref()
            && made.elapsed() < *used_for
        {
            return result.clone();
        }
        let start = Instant::now();
        let result = make.await;
        let used_for = used_for(&result, start.elapsed());
        *last = Some((Instant::now(), used_for, result.clone()));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_result_is_used_as_long_as_it_says() {
        let recent = Recent::default();
        for (made, time, expected) in [(1, Duration::MAX, 1), (2, Duration::ZERO, 1)] {
            assert_eq!(recent.get(async { made }, |_, _| time).await, expected);
        }
        let old = Recent::default();
        for made in [1, 2] {
            assert_eq!(old.get(async { made }, |_, _| Duration::ZERO).await, made);
        }
    }
}
