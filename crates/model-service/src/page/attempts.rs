//! Attempts to log in, limited for each source.
//!
//! Behind a proxy all clients have one address, so that one who guesses takes the attempts of
//! all. A browser that has logged in once is therefore known by a cookie and has its own attempts
//! (OWASP's "device cookies").

use std::net::IpAddr;
use std::time::Instant;

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::buckets::{TokenBuckets, network};
use crate::secret::{RandomError, random_token};

/// Wrong passwords in a minute.
const ATTEMPTS: u32 = 10;

/// The source of attempts to log in.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum LoginSource {
    /// An IPv4 address, or the /64 of an IPv6 address.
    Address(IpAddr),
    /// A browser that has logged in before, by its name.
    KnownBrowser(String),
}

/// The attempts to log in that each source has left.
pub(super) struct LoginAttempts {
    left: TokenBuckets<LoginSource>,
    /// Made at the start of the service, which makes all browsers unknown.
    key: Key,
}

impl LoginAttempts {
    pub(super) fn new() -> Result<Self, RandomError> {
        let key = Key::generate(HMAC_SHA256, &SystemRandom::new()).map_err(|_| RandomError)?;
        let left = TokenBuckets::new(ATTEMPTS);
        Ok(Self { left, key })
    }

    /// The source of a request with this cookie of a known browser.
    pub(super) fn source(&self, cookie: Option<&str>, address: IpAddr) -> LoginSource {
        let known = cookie.and_then(|cookie| self.check(cookie));
        known.map_or(LoginSource::Address(network(address)), |name| {
            LoginSource::KnownBrowser(name.to_owned())
        })
    }

    /// Takes an attempt. Returns true if one was left.
    pub(super) fn take(&self, source: &LoginSource) -> bool {
        self.left.take(source.clone(), Instant::now())
    }

    /// Puts back the attempt of a source that knew the password.
    pub(super) fn put_back(&self, source: &LoginSource) {
        self.left.put_back(source);
    }

    /// The cookie for a browser that has logged in: a random name, a dot, and the HMAC of the name.
    pub(super) fn cookie(&self) -> Result<String, RandomError> {
        let name = random_token()?;
        let code = hmac::sign(&self.key, name.as_bytes());
        Ok(format!("{name}.{}", BASE64_URL_SAFE_NO_PAD.encode(code)))
    }

    /// The name in a cookie that this service made.
    fn check<'a>(&self, cookie: &'a str) -> Option<&'a str> {
        let (name, code) = cookie.split_once('.')?;
        let code = BASE64_URL_SAFE_NO_PAD.decode(code).ok()?;
        hmac::verify(&self.key, name.as_bytes(), &code).ok()?;
        Some(name)
    }
}
