//! Sessions with a token: one for each thread that signs at the same time, as many as the token allows.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::anyhow;
use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::Session;
use cryptoki::slot::Slot;

/// A session is used by one thread at a time, and none is closed before the end: with the last one goes the login,
/// which all of a process's sessions with a token share (PKCS#11 3.0, section 5.6.8).
pub(super) struct Sessions {
    module: Pkcs11,
    slot: Slot,
    pool: Mutex<Pool>,
    returned: Condvar,
}

struct Pool {
    idle: Vec<Session>,
    open: usize,
    most: usize,
}

impl Sessions {
    pub(super) fn new(module: Pkcs11, slot: Slot, threads: bool) -> Self {
        let pool = Pool {
            idle: Vec::new(),
            open: 0,
            most: if threads { usize::MAX } else { 1 },
        };
        Sessions {
            module,
            slot,
            pool: pool.into(),
            returned: Condvar::new(),
        }
    }

    /// Does `work` with a session; waits for one where there can be no more.
    ///
    /// # Errors
    /// If no session can be opened.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Session) -> T) -> anyhow::Result<T> {
        let session = self.take()?;
        let result = work(&session);
        self.pool().idle.push(session);
        self.returned.notify_one();
        Ok(result)
    }

    fn take(&self) -> anyhow::Result<Session> {
        let mut pool = self.pool();
        loop {
            if let Some(session) = pool.idle.pop() {
                return Ok(session);
            }
            if pool.open < pool.most {
                match self.module.open_ro_session(self.slot) {
                    Ok(session) => {
                        pool.open += 1;
                        return Ok(session);
                    }
                    Err(Error::Pkcs11(RvError::SessionCount, _)) if pool.open > 0 => pool.most = pool.open,
                    Err(error) => {
                        return Err(anyhow!(
                            "the token opens no session: {error}. Check that no other program holds it"
                        ));
                    }
                }
            } else {
                pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.pool().idle.clear();
        // Some modules keep files or connections until they are told. There is nothing to be done if it fails.
        let _ = self.module.clone().finalize();
    }
}
