//! The client behind a trusted proxy: its address, and the id of its request.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

use crate::secret::random_token;
use crate::settings::ForwardedHeader;

/// The header with the id of a request.
pub(super) const REQUEST_ID: &str = "x-request-id";
/// The longest id of a request that a proxy may give.
const MAX_ID: usize = 128;

/// The proxies whose headers are believed.
pub(crate) struct TrustedProxies {
    pub(crate) networks: Vec<IpNet>,
    pub(crate) header: ForwardedHeader,
}

impl TrustedProxies {
    /// Returns true if `address` is that of a trusted proxy.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The address of the client that `peer` forwards a request for: the last one that is not a
    /// trusted proxy. A client can put others before it.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.contains(client) {
            return client;
        }
        let (name, read): (_, fn(&str) -> Option<IpAddr>) = match self.header {
            ForwardedHeader::XForwardedFor => ("x-forwarded-for", read_address),
            ForwardedHeader::Forwarded => ("forwarded", read_forwarded),
        };
        let lines: Vec<_> = headers.get_all(name).iter().collect();
        for line in lines.iter().rev() {
            for hop in line.to_str().unwrap_or_default().rsplit(',') {
                let Some(address) = read(hop.trim()) else {
                    // What is before it was not written by a trusted proxy.
                    return client;
                };
                client = address;
                if !self.contains(client) {
                    return client;
                }
            }
        }
        client
    }

    /// The id of a request: that of a trusted proxy, else a new one.
    pub(super) fn request_id(&self, peer: IpAddr, headers: &HeaderMap) -> String {
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let valid =
            |id: &&str| (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        match given.filter(valid).filter(|_| self.contains(peer)) {
            Some(id) => id.to_owned(),
            // Without random numbers nothing else works either.
            None => random_token().unwrap_or_default().chars().take(22).collect(),
        }
    }
}

/// An address with or without a port, in brackets or not.
fn read_address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare
        .parse()
        .or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// The parameter `for` of an element of the header Forwarded (RFC 7239).
fn read_forwarded(element: &str) -> Option<IpAddr> {
    let parameters = element
        .split(';')
        .filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters
        .map(|(name, value)| (name.trim(), value.trim()))
        .find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    read_address(value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn proxies(header: ForwardedHeader) -> TrustedProxies {
        TrustedProxies {
            networks: ["10.0.0.0/8", "fd00::/8"]
                .map(|network| network.parse().unwrap())
                .to_vec(),
            header,
        }
    }

    fn client(header: ForwardedHeader, peer: &str, lines: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            let name = match header {
                ForwardedHeader::XForwardedFor => "x-forwarded-for",
                ForwardedHeader::Forwarded => "forwarded",
            };
            headers.append(name, HeaderValue::from_static(line));
        }
        proxies(header)
            .client(peer.parse().unwrap(), &headers)
            .to_string()
    }

    #[test]
    fn the_last_address_that_is_not_a_trusted_proxy() {
        use ForwardedHeader::{Forwarded, XForwardedFor};
        for (header, peer, lines, expected) in [
            (XForwardedFor, "10.0.0.1", &["192.0.2.7"][..], "192.0.2.7"),
            (XForwardedFor, "192.0.2.9", &["192.0.2.7"], "192.0.2.9"),
            (
                XForwardedFor,
                "10.0.0.1",
                &["1.1.1.1, 192.0.2.7, 10.0.0.2"],
                "192.0.2.7",
            ),
            (
                XForwardedFor,
                "10.0.0.1",
                &["1.1.1.1", "192.0.2.7:4711"],
                "192.0.2.7",
            ),
            (XForwardedFor, "10.0.0.1", &["192.0.2.7, unknown"], "10.0.0.1"),
            (
                XForwardedFor,
                "::ffff:10.0.0.1",
                &["[2001:db8::1]:80"],
                "2001:db8::1",
            ),
            (XForwardedFor, "10.0.0.1", &[], "10.0.0.1"),
            (XForwardedFor, "10.0.0.1", &["10.0.0.3"], "10.0.0.3"),
            (
                Forwarded,
                "fd00::1",
                &["for=1.1.1.1, proto=https;For=\"[2001:db8::2]:80\""],
                "2001:db8::2",
            ),
            (Forwarded, "10.0.0.1", &["by=10.0.0.1"], "10.0.0.1"),
        ] {
            assert_eq!(client(header, peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_gives_the_id_of_a_request() {
        let proxies = proxies(ForwardedHeader::XForwardedFor);
        let id = |peer: &str, id: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_static(id));
            proxies.request_id(peer.parse().unwrap(), &headers)
        };
        assert_eq!(id("10.0.0.1", "abc-1"), "abc-1");
        for (peer, given) in [("192.0.2.1", "abc-1"), ("10.0.0.1", ""), ("10.0.0.1", "a b")] {
            assert_eq!(id(peer, given).len(), 22, "{given}");
        }
    }
}
