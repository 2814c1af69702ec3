//! Token buckets, which limit how often something may happen.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Keys with a bucket. Beyond that all buckets start full again, which only allows more.
const KEYS: usize = 100_000;
const MINUTE: f64 = 60.0;

/// A bucket of tokens for each key. It holds the tokens of a minute, and fills steadily.
pub(crate) struct TokenBuckets<K> {
    per_minute: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

struct Bucket {
    left: f64,
    at: Instant,
}

impl<K: Eq + Hash> TokenBuckets<K> {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self {
            per_minute: per_minute.into(),
            buckets: Mutex::default(),
        }
    }

    /// Takes a token from a bucket. Returns true if it had one.
    pub(crate) fn take(&self, key: K, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= KEYS && !buckets.contains_key(&key) {
            buckets.clear();
        }
        let bucket = buckets.entry(key).or_insert(Bucket {
            left: self.per_minute,
            at: now,
        });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + passed * self.per_minute / MINUTE).min(self.per_minute);
        bucket.at = now;
        let taken = bucket.left >= 1.0;
        if taken {
            bucket.left -= 1.0;
        }
        taken
    }

    /// Returns true if a bucket has a token.
    pub(crate) fn has(&self, key: &K, now: Instant) -> bool {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.get(key).is_none_or(|bucket| {
            let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
            bucket.left + passed * self.per_minute / MINUTE >= 1.0
        })
    }

    /// Puts a token back.
    pub(crate) fn put_back(&self, key: &K) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(key) {
            bucket.left = (bucket.left + 1.0).min(self.per_minute);
        }
    }
}

/// The address that identifies a host. With IPv6 a host can usually choose addresses from a /64.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => (v6.to_bits() >> 64 << 64).to_be_bytes().into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_can_be_put_back() {
        let buckets = TokenBuckets::new(1);
        let now = Instant::now();
        assert!(buckets.take("a", now) && !buckets.take("a", now));
        buckets.put_back(&"a");
        buckets.put_back(&"a");
        assert!(buckets.take("a", now) && !buckets.take("a", now));
    }
}
