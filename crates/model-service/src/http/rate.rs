//! Rate limits: token buckets, and the requests of each address.

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

    /// Puts a token back.
    pub(crate) fn put_back(&self, key: &K) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(key) {
            bucket.left = (bucket.left + 1.0).min(self.per_minute);
        }
    }
}

/// The limit on the requests of each address.
pub(crate) struct RateLimit {
    unlimited: bool,
    loopback: bool,
    requests: TokenBuckets<IpAddr>,
}

impl RateLimit {
    /// There is no limit if `per_minute` is 0, nor for loopback addresses unless `loopback` is
    /// true.
    pub(crate) fn new(per_minute: u32, loopback: bool) -> Self {
        Self {
            unlimited: per_minute == 0,
            loopback,
            requests: TokenBuckets::new(per_minute),
        }
    }

    /// Counts a request. Returns true if it is within the limit.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        self.allows_at(address, Instant::now())
    }

    fn allows_at(&self, address: IpAddr, now: Instant) -> bool {
        if self.unlimited || address.to_canonical().is_loopback() && !self.loopback {
            return true;
        }
        self.requests.take(network(address), now)
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_minutes_requests_at_once_then_a_steady_flow() {
        let limit = RateLimit::new(6, false);
        let start = Instant::now();
        let ask = |address: &str, seconds| {
            limit.allows_at(address.parse().unwrap(), start + Duration::from_secs(seconds))
        };
        assert!((0..6).all(|_| ask("192.0.2.1", 0)));
        assert!(!ask("192.0.2.1", 0));
        assert!(!ask("::ffff:192.0.2.1", 9), "the same host");
        assert!(ask("192.0.2.2", 0), "another host");
        assert!(ask("192.0.2.1", 10));
        assert!(!ask("192.0.2.1", 10));
    }

    #[test]
    fn a_token_can_be_put_back() {
        let buckets = TokenBuckets::new(1);
        let now = Instant::now();
        assert!(buckets.take("a", now) && !buckets.take("a", now));
        buckets.put_back(&"a");
        buckets.put_back(&"a");
        assert!(buckets.take("a", now) && !buckets.take("a", now));
    }

    #[test]
    fn loopback_is_limited_only_if_configured() {
        let loopback = "127.0.0.2".parse().unwrap();
        assert!((0..9).all(|_| RateLimit::new(1, false).allows(loopback)));
        let limit = RateLimit::new(1, true);
        assert!(limit.allows(loopback) && !limit.allows(loopback));
        let none = RateLimit::new(0, true);
        assert!((0..9).all(|_| none.allows(loopback)));
    }

    #[test]
    fn addresses_in_a_64_are_one_host() {
        let limit = RateLimit::new(1, false);
        assert!(limit.allows("2001:db8::1".parse().unwrap()));
        assert!(!limit.allows("2001:db8::2".parse().unwrap()));
        assert!(limit.allows("2001:db8:0:1::1".parse().unwrap()));
    }
}
