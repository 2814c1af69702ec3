//! The limit on the requests of each address.

use std::net::IpAddr;
use std::time::Instant;

use crate::buckets::{TokenBuckets, network};

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
