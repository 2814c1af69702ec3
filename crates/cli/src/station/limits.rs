//! Limits on connections and on wrong tokens.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::time::sleep;

/// The most open connections: in total, and of one address. A line may be behind one address.
const CONNECTIONS: usize = 256;
const CONNECTIONS_OF_ADDRESS: usize = 64;
/// The time that each wrong token takes, one after another, and the most that wait for it.
const WRONG_TOKEN: Duration = Duration::from_millis(250);
const MOST_WAITING: usize = 16;

/// The most results that are made at a time, beyond which devices wait. Challenges and the page do not
/// wait for them.
pub(super) const MOST_RESULTS: usize = 16;

/// The open connections of each address.
#[derive(Default)]
pub(super) struct OpenConnections(Mutex<HashMap<IpAddr, usize>>);

/// An open connection, which counts until it is dropped.
pub(super) struct OpenConnection {
    all: Arc<OpenConnections>,
    address: IpAddr,
}

impl OpenConnections {
    /// Counts a connection; `None` if that would exceed a limit.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<OpenConnection> {
        let mut open = self.lock();
        let total: usize = open.values().sum();
        let of_address = open.get(&address).copied().unwrap_or_default();
        if total >= CONNECTIONS || of_address >= CONNECTIONS_OF_ADDRESS {
            return None;
        }
        open.insert(address, of_address + 1);
        Some(OpenConnection {
            all: Arc::clone(self),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut open = self.all.lock();
        match open.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&self.address);
            }
        }
    }
}

/// Slows down whoever guesses tokens.
pub(super) struct WrongTokens {
    waiting: Semaphore,
    turn: Turn<()>,
}

impl WrongTokens {
    pub(super) fn new() -> Self {
        WrongTokens {
            waiting: Semaphore::new(MOST_WAITING),
            turn: Turn::new(()),
        }
    }

    /// Waits for the turn of a wrong token. Returns false if too many wait already.
    pub(super) async fn slow_down(&self) -> bool {
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return false;
        };
        let _turn = self.turn.lock().await;
        sleep(WRONG_TOKEN).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_limited() {
        let all = Arc::<OpenConnections>::default();
        let admitted = |address: IpAddr| std::iter::from_fn(|| all.admit(address)).collect::<Vec<_>>();
        let first = admitted([192, 0, 2, 1].into());
        assert_eq!(first.len(), CONNECTIONS_OF_ADDRESS);
        let others: Vec<_> = (2..9)
            .flat_map(|host| admitted([192, 0, 2, host].into()))
            .collect();
        assert_eq!(others.len(), CONNECTIONS - CONNECTIONS_OF_ADDRESS);
        drop(first);
        assert_eq!(admitted([192, 0, 2, 9].into()).len(), CONNECTIONS_OF_ADDRESS);
        drop(others);
        assert!(all.lock().is_empty());
    }
}
