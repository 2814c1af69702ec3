//! Sessions of people who are logged in.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::http::RequestError;
use crate::secret::{equal_in_constant_time, random_token};
use crate::store::{Store, StoreError};

/// The session of a person who is logged in.
#[derive(Clone)]
pub(super) struct Session {
    /// The hash of the cookie.
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

/// Starts a session and returns its cookie.
pub(super) async fn start(store: &Store) -> Result<String, RequestError> {
    let cookie = random_token()?;
    store.start_session(&hash(&cookie), &random_token()?).await?;
    Ok(cookie)
}

/// The session with this cookie. The cookie has 256 random bits, so that the time of the search
/// reveals nothing.
pub(super) async fn find(store: &Store, cookie: &str) -> Result<Option<Session>, StoreError> {
    let cookie = hash(cookie);
    let csrf = store.use_session(&cookie).await?;
    Ok(csrf.map(|csrf| Session { cookie, csrf }))
}

pub(super) async fn end(store: &Store, session: &Session) -> Result<(), StoreError> {
    store.end_session(&session.cookie).await
}

/// The store has the hash: who reads the database cannot use it as a cookie.
fn hash(cookie: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, cookie.as_bytes()))
}
