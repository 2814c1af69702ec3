//! Sessions with a token: one for each thread that signs, up to the limit of the token.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use crate::TokenError;

/// A session is used by one thread at a time, and none is closed before the end: closing the last one
/// ends the login, which all sessions of a process with a token share (PKCS#11 3.0, section 5.6.8).
pub struct Sessions {
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
    /// The sessions with the token in `slot`; `threads` is true if several threads may use the module
    /// at once, see [`load`](crate::load).
    pub fn new(module: Pkcs11, slot: Slot, threads: bool) -> Self {
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

    /// Runs `work` with a session; waits for one if the token allows no more.
    ///
    /// # Errors
    /// [`TokenError::NoSession`].
    pub fn with<T>(&self, work: impl FnOnce(&Session) -> T) -> Result<T, TokenError> {
        let session = self.take()?;
        let result = work(&session);
        self.pool().idle.push(session);
        self.returned.notify_one();
        Ok(result)
    }

    fn take(&self) -> Result<Session, TokenError> {
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
                    Err(reason) => return Err(TokenError::NoSession(reason)),
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
        // Some modules keep files or connections open until then. A failure changes nothing any more.
        let _ = self.module.clone().finalize();
    }
}
