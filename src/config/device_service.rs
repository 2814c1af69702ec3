//! What snapd and its HTTP client accept as address and headers of the model service.
//!
//! snapd gives them to Go's net/url and net/http when it asks for the serial. What they refuse would
//! fail every registration, for ever.

use std::net::Ipv6Addr;

use identity_key::{is_joined_by_single_dashes, is_unreadable};

/// The headers of a connection, which HTTP/2 refuses, and those that net/http or snapd write
/// themselves, whatever the option says.
const RESERVED_HEADERS: [&str; 10] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Returns true if `name`, in lower case, can be the name of a header. It becomes part of the name of
/// an option, for which snapd has the rule `^(?:[a-z0-9]+-?)*[a-z](?:-?[a-z0-9])*$`, from base core26
/// on also inside objects. HTTP allows all of these.
pub(super) fn is_header_name(name: &str) -> bool {
    is_joined_by_single_dashes(name, |c| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.contains(|character: char| character.is_ascii_lowercase())
        && !RESERVED_HEADERS.contains(&name)
}

/// Returns true if `value` can be the value of a header: printable ASCII characters, spaces and tabs
/// (RFC 9110 section 5.5), or nothing. net/http sends other bytes too, but a server need not take them.
pub(super) fn is_header_value(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t'))
}

/// Returns true if snapd can ask for a serial at `url`. A slash at its end may be missing: snapd adds
/// it. Query and fragment do no harm: snapd drops them.
pub(super) fn is_url(url: &str) -> bool {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let is_wrong = |character: char| is_unreadable(character) || character.is_whitespace();
    let Some(rest) = rest.filter(|rest| !rest.contains(is_wrong)) else {
        return false;
    };
    let (address, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    // net/url takes any characters in a query.
    let (address, _query) = address.split_once('?').unwrap_or((address, ""));
    let (authority, path) = address.split_at(address.find('/').unwrap_or(address.len()));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    has_valid_escapes(path) && has_valid_escapes(fragment) && is_user_info(user) && is_host_and_port(host)
}

fn is_user_info(text: &str) -> bool {
    // net/url's validUserinfo.
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    has_valid_escapes(text) && text.bytes().all(is_allowed)
}

fn is_host_and_port(text: &str) -> bool {
    let (is_host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (is_ipv6_address(address), port),
        None => {
            let (name, port) = text.split_at(text.rfind(':').unwrap_or(text.len()));
            (is_host_name(name), port)
        }
    };
    let is_port = |digits: &str| {
        let number = digits.parse::<u16>().unwrap_or_default();
        digits.is_empty() || number > 0 && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    is_host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// An address with or without a zone, before which a URL has an escaped percent sign.
fn is_ipv6_address(text: &str) -> bool {
    let (address, zone) = text.split_once("%25").unwrap_or((text, "eth0"));
    address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty() && has_valid_escapes(zone)
}

/// Labels of 63 characters at most (RFC 1035 section 2.3.4); net/http converts other scripts.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_alphanumeric() || "-_".contains(c))
    };
    name.strip_suffix('.').unwrap_or(name).split('.').all(is_label)
}

/// Returns true if two hexadecimal digits follow each percent sign.
fn has_valid_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|part| {
        let digits = part.as_bytes().first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_options_of_snapd() {
        let rule = regex::Regex::new("^(?:[a-z0-9]+-?)*[a-z](?:-?[a-z0-9])*$").unwrap();
        let mut names = vec![String::new()];
        for _ in 0..6 {
            let longer = |name: &String| {
                "az2-_.A "
                    .chars()
                    .map(|c| format!("{name}{c}"))
                    .collect::<Vec<_>>()
            };
            names = names.iter().flat_map(longer).collect();
            for name in &names {
                assert_eq!(is_header_name(name), rule.is_match(name), "{name:?}");
            }
        }
        for name in ["", "x-ü", "x\n", "x:", "host", "content-length", "te"] {
            assert!(!is_header_name(name), "{name:?}");
        }
        assert!(is_header_name("authorization") && is_header_name("user-agent"));
    }

    #[test]
    fn header_values_are_printable_ascii() {
        for value in ["", "Bearer YWJj=", "a b\tc", "~!@#$%^&*()\"'\\"] {
            assert!(is_header_value(value), "{value:?}");
        }
        for value in [
            "a\n",
            "a\r\nx: y",
            "\0",
            "\u{7f}",
            "\u{1b}[m",
            "é",
            "\u{a0}",
            "\u{200b}",
        ] {
            assert!(!is_header_value(value), "{value:?}");
        }
    }

    #[test]
    fn addresses_that_work_are_accepted() {
        for url in [
            "https://serial.example/v1/",
            "https://serial.example/v1",
            "https://serial.example",
            "http://10.0.0.1/",
            "http://localhost:8650/v1/",
            "https://serial.example:/v1/",
            "https://serial.example.:443/",
            "https://[2001:db8::1]/v1/",
            "https://[fe80::1%25eth0]:8443/",
            "https://name:pass%20word@serial.example/",
            "https://serial_1.example/a%20b/~c//d/",
            "https://bücher.example/ü/",
            "https://serial.example/v1/?a=b&c=%",
            "https://serial.example?a=/@:#top",
        ] {
            assert!(is_url(url), "{url}");
        }
    }

    #[test]
    fn addresses_that_cannot_work_are_refused() {
        for url in [
            "",
            "https://",
            "https:///v1/",
            "serial.example",
            "ftp://serial.example/",
            "https:serial.example",
            "https://:443/",
            "https://name@/",
            "https://host/%zz/",
            "https://host/%",
            "https://host/%2",
            "https://host/a b/",
            "https://ho st/",
            " https://host/",
            "https://host/ ",
            "https://host/\n",
            "https://host/\0",
            "https://host/\u{7f}",
            "https://host/\u{200b}",
            "https://host\u{a0}/",
            "https://host:99999/",
            "https://host/#%zz",
            "https://?a",
            "https://#a",
            "https://host/?a b",
            "https://host:0/",
            "https://host:65536/",
            "https://host:+80/",
            "https://host:x/",
            "https://host:80:80/",
            "https://a..b/",
            "https://.a/",
            "https://./",
            "https://ho\\st/",
            "https://ho%20st/",
            "https://ho\"st/",
            "https://[::1/",
            "https://[host]/",
            "https://[::1]x/",
            "https://[::1%25]/",
            "https://::1/",
            "https://us er@host/",
            "https://ü@host/",
            "https://a%zz@host/",
            "https://a/b@host:99999999/%q",
        ] {
            assert!(!is_url(url), "{url:?}");
        }
        assert!(!is_url(&format!("https://{}/", "a".repeat(64))));
    }
}
