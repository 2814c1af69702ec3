//! Attempts to log in, which nobody may have many of.
//!
//! Behind a proxy all have one address, so that whoever guesses there uses up everybody's attempts. A browser that
//! has logged in once is therefore known by a cookie and has attempts of its own (OWASP's "device cookies").

use std::net::IpAddr;
use std::time::Instant;

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use aws_lc_rs::rand::SystemRandom;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::session::cookie_of;
use crate::explain::Explain as _;
use crate::http::{Buckets, network};
use crate::secret::random_token;

/// Wrong passwords in a minute.
const ATTEMPTS: u32 = 10;
/// The cookie of a known browser: a random name and, after a dot, the code that shows that it was given here.
pub(super) const COOKIE: &str = "known";

/// Who tries to log in.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Guesser {
    /// Someone at this address, or in its /64.
    Address(IpAddr),
    /// A browser that has logged in before, by its name.
    Known(String),
}

/// The attempts of all.
pub(crate) struct Attempts {
    left: Buckets<Guesser>,
    /// New with each start, after which no browser is known.
    key: Key,
}

impl Attempts {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let key = Key::generate(HMAC_SHA256, &SystemRandom::new())
            .explain("the system gives no random numbers", "Try again")?;
        let left = Buckets::new(ATTEMPTS);
        Ok(Self { left, key })
    }

    pub(super) fn who(&self, headers: &HeaderMap, address: IpAddr) -> Guesser {
        let known = cookie_of(headers, COOKIE).and_then(|cookie| self.check(cookie));
        known.map_or(Guesser::Address(network(address)), |name| {
            Guesser::Known(name.to_owned())
        })
    }

    /// Takes one of the attempts; whether there was one.
    pub(super) fn take(&self, who: &Guesser) -> bool {
        self.left.take(who.clone(), Instant::now())
    }

    /// Gives the attempt back of someone who knew the password.
    pub(super) fn give_back(&self, who: &Guesser) {
        self.left.give_back(who);
    }

    /// The cookie for a browser that has logged in.
    pub(super) fn cookie(&self) -> anyhow::Result<String> {
        let name = random_token()?;
        let code = hmac::sign(&self.key, name.as_bytes());
        Ok(format!("{name}.{}", BASE64_URL_SAFE_NO_PAD.encode(code)))
    }

    /// The name in a cookie that was given here.
    fn check<'a>(&self, cookie: &'a str) -> Option<&'a str> {
        let (name, code) = cookie.split_once('.')?;
        let code = BASE64_URL_SAFE_NO_PAD.decode(code).ok()?;
        hmac::verify(&self.key, name.as_bytes(), &code).ok()?;
        Some(name)
    }
}
