//! Sessions of people who are logged in. They are in memory: a restart ends them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::secret::{RandomError, equal_in_constant_time, random_token};

/// A session ends this long after its last request.
const IDLE: Duration = Duration::from_secs(60 * 60);
/// Concurrent sessions. Beyond that the one that was idle longest ends.
const MAX_SESSIONS: usize = 1000;

/// The session of a person who is logged in.
#[derive(Clone)]
pub(super) struct Session {
    cookie: String,
    csrf: String,
}

impl Session {
    /// The token in forms, so that no other site can send one in this session.
    pub(super) fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Returns true if a form with this token came from a page of this session.
    pub(super) fn accepts(&self, csrf: &str) -> bool {
        equal_in_constant_time(self.csrf.as_bytes(), csrf.as_bytes())
    }
}

/// All sessions, by cookie.
#[derive(Default)]
pub(super) struct Sessions {
    open: Mutex<HashMap<String, (Session, Instant)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    /// Starts a session and returns its cookie.
    pub(super) fn start(&self) -> Result<String, RandomError> {
        let session = Session {
            cookie: random_token()?,
            csrf: random_token()?,
        };
        let cookie = session.cookie.clone();
        let mut open = lock(&self.open);
        open.retain(|_, (_, last)| last.elapsed() < IDLE);
        if open.len() >= MAX_SESSIONS {
            let idlest = open.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(idlest) = idlest.map(|(cookie, _)| cookie.clone()) {
                open.remove(&idlest);
            }
        }
        open.insert(cookie.clone(), (session, Instant::now()));
        Ok(cookie)
    }

    /// The session with this cookie. The cookie has 256 random bits, so that the time of the search
    /// reveals nothing.
    pub(super) fn find(&self, cookie: &str) -> Option<Session> {
        let mut open = lock(&self.open);
        let (session, last) = open.get_mut(cookie)?;
        if last.elapsed() >= IDLE {
            open.remove(cookie);
            return None;
        }
        *last = Instant::now();
        Some(session.clone())
    }

    pub(super) fn end(&self, session: &Session) {
        lock(&self.open).remove(&session.cookie);
    }
}
