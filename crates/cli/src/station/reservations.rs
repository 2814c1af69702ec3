//! Devices whose results are being made.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::done::ProvenIdentity;

/// The devices that no other thread may record: each has its hardware id, its key and its TPM for itself.
#[derive(Default)]
pub(super) struct Reservations {
    reserved: Mutex<Vec<ProvenIdentity>>,
    is_one_free: Condvar,
}

/// A device that no other thread may record until this is dropped.
pub(super) struct Reservation<'a> {
    all: &'a Reservations,
    identity: ProvenIdentity,
}

impl Reservations {
    /// Reserves a device. Waits while another thread has one with the same hardware id, key or TPM.
    pub(super) fn wait_for(&self, identity: &ProvenIdentity) -> Reservation<'_> {
        let is_reserved =
            |reserved: &mut Vec<ProvenIdentity>| reserved.iter().any(|other| shares(other, identity));
        let waited = self.is_one_free.wait_while(self.lock(), is_reserved);
        waited
            .unwrap_or_else(PoisonError::into_inner)
            .push(identity.clone());
        Reservation {
            all: self,
            identity: identity.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ProvenIdentity>> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.all.lock().retain(|other| *other != self.identity);
        self.all.is_one_free.notify_all();
    }
}

/// Returns true if only one of the devices can be right, or if they are the same.
fn shares(one: &ProvenIdentity, other: &ProvenIdentity) -> bool {
    one.hardware_id == other.hardware_id || one.key_name == other.key_name || one.ek_sha256 == other.ek_sha256
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use identity_key::DigestForm;

    use super::*;

    fn identity([hardware_id, key_name, ek_sha256]: [&str; 3]) -> ProvenIdentity {
        ProvenIdentity {
            hardware_id: hardware_id.to_owned(),
            key_name: key_name.to_owned(),
            ek_sha256: ek_sha256.to_owned(),
            digest_form: DigestForm::Text,
            headers_sha256: String::new(),
        }
    }

    #[test]
    fn devices_that_share_a_value_wait_for_each_other() {
        for other in [["a", "b", "b"], ["b", "a", "b"], ["b", "b", "a"], ["a", "a", "a"]] {
            assert!(shares(&identity(["a", "a", "a"]), &identity(other)));
        }
        let all = Reservations::default();
        let first = all.wait_for(&identity(["a", "a", "a"]));
        // Does not wait.
        drop(all.wait_for(&identity(["b", "b", "b"])));
        let is_free = AtomicBool::new(false);
        thread::scope(|scope| {
            let second = scope.spawn(|| {
                let _second = all.wait_for(&identity(["b", "a", "b"]));
                is_free.load(Ordering::SeqCst)
            });
            thread::yield_now();
            is_free.store(true, Ordering::SeqCst);
            drop(first);
            assert!(second.join().unwrap(), "both had the key");
        });
        assert!(all.lock().is_empty());
    }
}
