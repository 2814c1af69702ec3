//! Attempts to log in, limited for each source.
//!
//! Behind a proxy all clients have one address, so that one who guesses takes the attempts of
//! all. A browser that has logged in once is therefore known by a cookie and has its own attempts
//! (OWASP's "device cookies").

use std::net::IpAddr;

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::buckets::network;
use crate::secret::{RandomError, random_token};
use crate::store::{Store, StoreError};

/// The source of attempts to log in: an IPv4 address, the /64 of an IPv6 address, or a browser that
/// has logged in before, by its name.
pub(super) struct LoginSource(String);

/// The attempts to log in that each source has left.
pub(super) struct LoginAttempts {
    store: Store,
    key: Key,
}

impl LoginAttempts {
    pub(super) fn new(store: Store) -> Result<Self, StoreError> {
        let key = Key::new(HMAC_SHA256, &store.known_browser_key()?);
        Ok(Self { store, key })
    }

    /// The source of a request with this cookie of a known browser.
    pub(super) fn source(&self, cookie: Option<&str>, address: IpAddr) -> LoginSource {
        LoginSource(match cookie.and_then(|cookie| self.check(cookie)) {
            Some(name) => format!("browser {name}"),
            None => format!("address {}", network(address)),
        })
    }

    /// Takes an attempt. Returns true if one was left.
    pub(super) async fn take(&self, source: &LoginSource) -> Result<bool, StoreError> {
        self.store.take_login_attempt(&source.0).await
    }

    /// Puts back the attempt of a source that knew the password.
    pub(super) async fn put_back(&self, source: &LoginSource) -> Result<(), StoreError> {
        self.store.put_back_login_attempt(&source.0).await
    }

    /// The cookie for a browser that has logged in: a random name, a dot, and the HMAC of the name.
    pub(super) fn cookie(&self) -> Result<String, RandomError> {
        let name = random_token()?;
        let code = hmac::sign(&self.key, name.as_bytes());
        Ok(format!("{name}.{}", BASE64_URL_SAFE_NO_PAD.encode(code)))
    }

    /// The name in a cookie that this service or a replica made.
    fn check<'a>(&self, cookie: &'a str) -> Option<&'a str> {
        let (name, code) = cookie.split_once('.')?;
        let code = BASE64_URL_SAFE_NO_PAD.decode(code).ok()?;
        hmac::verify(&self.key, name.as_bytes(), &code).ok()?;
        Some(name)
    }
}
