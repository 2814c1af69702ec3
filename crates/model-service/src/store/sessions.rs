//! Who is logged in to the page, and who tried.
//!
//! PostgreSQL has that in tables, so that all replicas know it. With SQLite it is in the memory of
//! the one process that serves, and a restart ends all sessions.

use std::time::Duration;

use super::{Backend, Store, StoreError};

/// A session ends this long after its last request.
pub(super) const IDLE: Duration = Duration::from_secs(60 * 60);
/// Concurrent sessions. Beyond that the one that was idle longest ends.
pub(super) const MAX_SESSIONS: usize = 1000;
/// Wrong passwords of a source in a minute.
pub(super) const ATTEMPTS: u32 = 10;
/// The bytes of the key for cookies of known browsers.
pub(super) const KEY_LENGTH: usize = 32;

impl Store {
    /// Starts a session with the hash of its cookie and the token of its forms.
    pub(crate) async fn start_session(&self, cookie: &str, csrf: &str) -> Result<(), StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.start_session(cookie, csrf),
            Backend::Postgres(store) => store.start_session(cookie, csrf).await,
        }
        .map(drop)
    }

    /// The token of the forms of a session that has not ended. It is in use now.
    pub(crate) async fn use_session(&self, cookie: &str) -> Result<Option<String>, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => Ok(store.use_session(cookie)),
            Backend::Postgres(store) => store.use_session(cookie).await,
        }
    }

    /// Ends a session.
    pub(crate) async fn end_session(&self, cookie: &str) -> Result<(), StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => {
                store.end_session(cookie);
                Ok(())
            }
            Backend::Postgres(store) => store.end_session(cookie).await,
        }
    }

    /// Takes one of the attempts to log in that a source has in a minute. Returns true if one was
    /// left.
    pub(crate) async fn take_login_attempt(&self, source: &str) -> Result<bool, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => Ok(store.take_login_attempt(source)),
            Backend::Postgres(store) => store.take_login_attempt(source).await,
        }
    }

    /// Puts back the attempt of a source that knew the password.
    pub(crate) async fn put_back_login_attempt(&self, source: &str) -> Result<(), StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => {
                store.put_back_login_attempt(source);
                Ok(())
            }
            Backend::Postgres(store) => store.put_back_login_attempt(source).await,
        }
    }

    /// The key for cookies of known browsers; blocks the calling thread.
    pub(crate) fn known_browser_key(&self) -> Result<Vec<u8>, StoreError> {
        let mut random = vec![0; KEY_LENGTH];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| StoreError::Interrupted)?;
        match &self.0 {
            // Made at each start, which makes all browsers unknown.
            Backend::Sqlite(_) => Ok(random),
            Backend::Postgres(store) => store.known_browser_key(random),
        }
    }
}
