//! Cookies of the page.

use axum::http::{HeaderMap, header};

/// The cookie of a session.
pub(super) const SESSION: &str = "session";
/// The cookie of a known browser.
pub(super) const KNOWN: &str = "known";

/// The names and attributes of cookies.
pub(super) struct Cookies {
    /// Browsers accept a name with this prefix only over TLS, without a domain and for all paths
    /// (RFC 6265bis, section 4.1.3.2), so that no other site can set such a cookie.
    prefix: &'static str,
    secure: &'static str,
}

impl Cookies {
    /// Limits the cookies to TLS if `secure` is true.
    pub(super) fn new(secure: bool) -> Self {
        let (prefix, secure) = if secure { ("__Host-", "; Secure") } else { ("", "") };
        Self { prefix, secure }
    }

    /// The value of the header `Set-Cookie`. `more` has further attributes.
    pub(super) fn set(&self, name: &str, value: &str, more: &str) -> String {
        let Self { prefix, secure } = self;
        format!("{prefix}{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}")
    }

    /// The value of a cookie of a request.
    pub(super) fn find<'a>(&self, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        let lines = headers.get_all(header::COOKIE).iter();
        let mut cookies = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'));
        cookies.find_map(|cookie| {
            let rest = cookie.trim().strip_prefix(self.prefix)?;
            rest.strip_prefix(name)?.strip_prefix('=')
        })
    }
}
