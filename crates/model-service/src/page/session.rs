//! Who is logged in. Sessions live in memory: a restart ends them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};

use crate::secret::{random_token, same};

/// A session ends this long after its last request.
const IDLE: Duration = Duration::from_secs(60 * 60);
/// Sessions at a time; beyond that the idlest one ends.
const MOST: usize = 1000;

/// Someone who is logged in.
#[derive(Clone)]
pub(super) struct Session {
    cookie: String,
    csrf: String,
}

impl Session {
    /// What forms carry, so that no other site can send one in this session.
    pub(super) fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Whether a form came from this session's own pages.
    pub(super) fn accepts(&self, csrf: &str) -> bool {
        same(self.csrf.as_bytes(), csrf.as_bytes())
    }
}

/// All sessions, by cookie.
#[derive(Default)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<String, (Session, Instant)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    /// Starts a session and gives its cookie.
    pub(super) fn start(&self) -> anyhow::Result<String> {
        let session = Session {
            cookie: random_token()?,
            csrf: random_token()?,
        };
        let cookie = session.cookie.clone();
        let mut open = lock(&self.open);
        open.retain(|_, (_, last)| last.elapsed() < IDLE);
        if open.len() >= MOST {
            let idlest = open.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(idlest) = idlest.map(|(cookie, _)| cookie.clone()) {
                open.remove(&idlest);
            }
        }
        open.insert(cookie.clone(), (session, Instant::now()));
        Ok(cookie)
    }

    /// The session with this cookie. The cookie has 256 random bits, so that looking it up tells nobody anything.
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

/// The value of a cookie.
pub(super) fn cookie_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut cookies = cookies
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    cookies.find_map(|cookie| cookie.trim().strip_prefix(name)?.strip_prefix('='))
}
