//! The open connections: in total, and of each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::buckets::network;
use crate::settings::Limits;

/// The limits on open connections, and their number.
pub(super) struct OpenConnections {
    limits: Limits,
    open: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    total: u32,
    of_address: HashMap<IpAddr, u32>,
}

/// An open connection, which counts until it is dropped.
pub(super) struct OpenConnection {
    all: Arc<OpenConnections>,
    address: IpAddr,
}

impl OpenConnections {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            limits: limits.clone(),
            open: Mutex::default(),
        })
    }

    /// Counts a connection; `None` if that would exceed a limit. `proxy` says that it is that of a
    /// proxy for others.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, proxy: bool) -> Option<OpenConnection> {
        let share = self.share(address, proxy);
        let address = network(address);
        let mut open = self.lock();
        let of_address = open.of_address.get(&address).copied().unwrap_or_default();
        if open.total >= self.limits.connections || of_address >= share {
            return None;
        }
        open.total += 1;
        *open.of_address.entry(address).or_default() += 1;
        Some(OpenConnection {
            all: Arc::clone(self),
            address,
        })
    }

    /// The most connections of an address. A loopback address may be that of a proxy for all
    /// devices, but a quarter is always left for others.
    fn share(&self, address: IpAddr, proxy: bool) -> u32 {
        let limits = &self.limits;
        let most = limits.connections - limits.connections / 4;
        match proxy || address.to_canonical().is_loopback() && !limits.limit_loopback {
            true => most,
            false => limits.connections_per_address.min(most),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut open = self.all.lock();
        open.total -= 1;
        if let Some(count) = open.of_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.of_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(all: &Arc<OpenConnections>, address: &str) -> Vec<OpenConnection> {
        let address = address.parse().unwrap();
        std::iter::from_fn(|| all.admit(address, false)).collect()
    }

    fn limits(connections_per_address: u32, limit_loopback: bool) -> Arc<OpenConnections> {
        OpenConnections::new(&Limits {
            connections: 8,
            connections_per_address,
            limit_loopback,
            ..Limits::default()
        })
    }

    #[test]
    fn an_address_has_a_share() {
        let all = limits(3, false);
        let first = admitted(&all, "192.0.2.1");
        assert_eq!(first.len(), 3);
        assert_eq!(admitted(&all, "::ffff:192.0.2.1").len(), 0, "the same host");
        let second = admitted(&all, "2001:db8::1");
        assert_eq!(second.len(), 3);
        assert_eq!(admitted(&all, "2001:db8::2").len(), 0, "the same host");
        assert_eq!(admitted(&all, "192.0.2.2").len(), 2, "the total");
        drop(first);
        assert_eq!(admitted(&all, "192.0.2.1").len(), 3);
    }

    #[test]
    fn no_address_can_take_all() {
        for (per_address, limit_loopback, address, expected) in [
            (100, false, "192.0.2.1", 6),
            (3, false, "127.0.0.1", 6),
            (3, true, "127.0.0.1", 3),
            (3, false, "::1", 6),
        ] {
            let all = limits(per_address, limit_loopback);
            assert_eq!(admitted(&all, address).len(), expected, "{address}");
        }
    }
}
