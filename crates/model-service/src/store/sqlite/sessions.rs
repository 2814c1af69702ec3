//! Sessions and attempts to log in, in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::database::SqliteStore;
use crate::buckets::TokenBuckets;
use crate::store::StoreError;
use crate::store::sessions::{ATTEMPTS, IDLE, MAX_SESSIONS};

/// Who is logged in, and who tried.
pub(super) struct PageMemory {
    /// The token of the forms and the last use of each session, by the hash of its cookie.
    sessions: Mutex<HashMap<String, (String, Instant)>>,
    attempts: TokenBuckets<String>,
}

impl PageMemory {
    pub(super) fn new() -> Self {
        Self {
            sessions: Mutex::default(),
            attempts: TokenBuckets::new(ATTEMPTS),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, (String, Instant)>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SqliteStore {
    pub(in crate::store) fn start_session(&self, cookie: &str, csrf: &str) -> Result<(), StoreError> {
        let mut sessions = self.page_memory().sessions();
        sessions.retain(|_, (_, last)| last.elapsed() < IDLE);
        if sessions.len() >= MAX_SESSIONS {
            let idlest = sessions.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(idlest) = idlest.map(|(cookie, _)| cookie.clone()) {
                sessions.remove(&idlest);
            }
        }
        sessions.insert(cookie.to_owned(), (csrf.to_owned(), Instant::now()));
        Ok(())
    }

    pub(in crate::store) fn use_session(&self, cookie: &str) -> Option<String> {
        let mut sessions = self.page_memory().sessions();
        let (csrf, last) = sessions.get_mut(cookie)?;
        if last.elapsed() >= IDLE {
            sessions.remove(cookie);
            return None;
        }
        *last = Instant::now();
        Some(csrf.clone())
    }

    pub(in crate::store) fn end_session(&self, cookie: &str) {
        self.page_memory().sessions().remove(cookie);
    }

    pub(in crate::store) fn take_login_attempt(&self, source: &str) -> bool {
        self.page_memory()
            .attempts
            .take(source.to_owned(), Instant::now())
    }

    pub(in crate::store) fn put_back_login_attempt(&self, source: &str) {
        self.page_memory().attempts.put_back(&source.to_owned());
    }
}
