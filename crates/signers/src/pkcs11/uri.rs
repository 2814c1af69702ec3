//! PKCS#11 URIs (RFC 7512), which name a key, its token and the module.

use std::collections::HashMap;
use std::path::PathBuf;

use cryptoki::context::Info;
use cryptoki::slot::{Slot, SlotInfo, TokenInfo};
use miette::Diagnostic;
use thiserror::Error;

/// Section 2.3.
const PATH_ATTRIBUTES: [&str; 13] = [
    "token",
    "manufacturer",
    "serial",
    "model",
    "library-manufacturer",
    "library-version",
    "library-description",
    "object",
    "type",
    "id",
    "slot-manufacturer",
    "slot-description",
    "slot-id",
];
const QUERY_ATTRIBUTES: [&str; 4] = ["pin-source", "pin-value", "module-name", "module-path"];

/// Why a PKCS#11 URI is refused. The messages never contain the URI, which may hold a PIN.
#[derive(Debug, Error, Diagnostic)]
pub enum UriError {
    /// Another scheme, or none.
    #[error("the URI of the key does not start with \"pkcs11:\"")]
    #[diagnostic(
        code("pkcs11-uri-scheme"),
        help("Write \"pkcs11:token=issuer;object=key?module-path=/usr/lib/libhsm.so\", in quotes")
    )]
    Scheme,
    /// The URI holds the PIN.
    #[error(
        "the PKCS#11 URI holds the PIN (pin-value), which everybody on this machine can read in the list of \
         processes and in the history of the shell"
    )]
    #[diagnostic(
        code("pkcs11-uri-pin"),
        help(
            "Remove pin-value and change the PIN; use pin-source in the URI, PKCS11_PIN or a PIN file (the tool: \
             --pin-file)"
        )
    )]
    Pin,
    /// The module is named as only p11-kit knows it.
    #[error("the PKCS#11 URI names the module by module-name, which only p11-kit can resolve")]
    #[diagnostic(
        code("pkcs11-uri-module"),
        help("Add the path of the vendor's library at the end: ?module-path=/usr/lib/libhsm.so")
    )]
    ModuleName,
    /// No module is named.
    #[error("the PKCS#11 URI does not name the module")]
    #[diagnostic(
        code("pkcs11-uri-module"),
        help("Add the path of the vendor's library at the end: ?module-path=/usr/lib/libhsm.so")
    )]
    NoModule,
    /// A value is not text.
    #[error("{0}= in the PKCS#11 URI is not UTF-8")]
    #[diagnostic(code("pkcs11-uri-not-utf8"), help("Correct the value of {0}"))]
    NotUtf8(&'static str),
    /// The URI names another object than a private key.
    #[error("the PKCS#11 URI names an object of another type than private")]
    #[diagnostic(code("pkcs11-uri-type"), help("Remove type=, or write type=private"))]
    Type,
    /// An attribute that does not exist, or is in the wrong half.
    #[error("the PKCS#11 URI has an attribute that does not exist there: \"{name}\"")]
    #[diagnostic(code("pkcs11-uri-attribute"), help("Use one of {known}"))]
    Attribute {
        /// The attribute, without its value.
        name: String,
        /// The attributes of this half of the URI.
        known: String,
    },
    /// A wrong escape sequence.
    #[error("{0}= in the PKCS#11 URI has a % without two hexadecimal digits after it")]
    #[diagnostic(code("pkcs11-uri-escape"), help("Write % as %25"))]
    Escape(&'static str),
    /// A duplicate attribute.
    #[error("duplicate {0}= in the PKCS#11 URI")]
    #[diagnostic(code("pkcs11-uri-duplicate"), help("Remove one of them"))]
    Duplicate(&'static str),
    /// The PIN comes from something else than a file.
    #[error("pin-source in the PKCS#11 URI is not an absolute path")]
    #[diagnostic(
        code("pkcs11-uri-pin-source"),
        help("Write pin-source=/PATH, the path of a file with the PIN")
    )]
    PinSource,
}

/// The checked parts of a URI.
#[derive(Debug)]
pub(super) struct Pkcs11Uri {
    /// The attributes of token and key; all values but `id` are UTF-8.
    path: HashMap<&'static str, Vec<u8>>,
    pub(super) module: PathBuf,
    pub(super) pin_source: Option<PathBuf>,
}

impl Pkcs11Uri {
    pub(super) fn parse(uri: &str) -> Result<Self, UriError> {
        let scheme = uri
            .split_once(':')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("pkcs11"));
        let Some((_, rest)) = scheme else {
            return Err(UriError::Scheme);
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = attributes(path, ';', &PATH_ATTRIBUTES)?;
        let mut query = attributes(query, '&', &QUERY_ATTRIBUTES)?;
        if query.contains_key("pin-value") {
            return Err(UriError::Pin);
        }
        if query.contains_key("module-name") && !query.contains_key("module-path") {
            return Err(UriError::ModuleName);
        }
        for (name, value) in path.iter().filter(|(name, _)| **name != "id") {
            std::str::from_utf8(value).map_err(|_| UriError::NotUtf8(name))?;
        }
        if path.get("type").is_some_and(|kind| kind != b"private") {
            return Err(UriError::Type);
        }
        let module = query.remove("module-path").ok_or(UriError::NoModule)?;
        let pin_source = query.remove("pin-source").map(pin_source).transpose()?;
        Ok(Pkcs11Uri {
            path,
            module: file(module),
            pin_source,
        })
    }

    pub(super) fn object(&self) -> Option<&[u8]> {
        self.path.get("object").map(Vec::as_slice)
    }

    pub(super) fn id(&self) -> Option<&[u8]> {
        self.path.get("id").map(Vec::as_slice)
    }

    pub(super) fn is_library(&self, info: &Info) -> bool {
        let version = info.library_version();
        let version = format!("{}.{}", version.major(), version.minor());
        self.allows("library-manufacturer", info.manufacturer_id())
            && self.allows("library-description", info.library_description())
            && self.allows("library-version", &version)
    }

    pub(super) fn is_slot(&self, slot: Slot, info: &SlotInfo) -> bool {
        self.allows("slot-id", &slot.id().to_string())
            && self.allows("slot-description", info.slot_description())
            && self.allows("slot-manufacturer", info.manufacturer_id())
    }

    pub(super) fn is_token(&self, info: &TokenInfo) -> bool {
        self.allows("token", info.label())
            && self.allows("serial", info.serial_number())
            && self.allows("manufacturer", info.manufacturer_id())
            && self.allows("model", info.model())
    }

    /// An attribute that is not in the URI may have any value.
    fn allows(&self, name: &str, value: &str) -> bool {
        self.path
            .get(name)
            .is_none_or(|wanted| wanted == value.as_bytes())
    }
}

fn attributes(
    text: &str,
    separator: char,
    known: &[&'static str],
) -> Result<HashMap<&'static str, Vec<u8>>, UriError> {
    let mut found = HashMap::new();
    for part in text.split(separator).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        // Attributes of vendors (section 2.3) are not needed here.
        if name.starts_with("x-") {
            continue;
        }
        let name = known
            .iter()
            .copied()
            .find(|known| *known == name)
            .ok_or_else(|| UriError::Attribute {
                name: name.escape_debug().to_string(),
                known: known.join(", "),
            })?;
        let value = decode(value).ok_or(UriError::Escape(name))?;
        if found.insert(name, value).is_some() {
            return Err(UriError::Duplicate(name));
        }
    }
    Ok(found)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.extend(hex::decode(digits).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Some(bytes)
}

/// Section 2.4: a `file:` URI or an absolute path. The section also allows a command; that is refused.
fn pin_source(value: Vec<u8>) -> Result<PathBuf, UriError> {
    let path = value.strip_prefix(b"file:").unwrap_or(&value);
    // The name of a machine follows two slashes; only this machine is allowed (RFC 8089, section 2).
    let local = match path.strip_prefix(b"//") {
        Some(machine) => machine.strip_prefix(b"localhost").unwrap_or(machine),
        None => path,
    };
    if local.first() != Some(&b'/') {
        return Err(UriError::PinSource);
    }
    Ok(file(local.to_vec()))
}

fn file(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_read() {
        let uri = "pkcs11:token=The%20Token;object=a%3bb;id=%00%fF1;type=private;x-vendor=?\
                   module-path=/usr/lib/libhsm.so&pin-source=file:/etc/pin%20file";
        let uri = Pkcs11Uri::parse(uri).unwrap();
        assert_eq!(uri.object().unwrap(), b"a;b");
        assert_eq!(uri.id().unwrap(), b"\x00\xff1");
        assert_eq!(uri.module.to_str().unwrap(), "/usr/lib/libhsm.so");
        assert_eq!(
            uri.pin_source.as_ref().unwrap().to_str().unwrap(),
            "/etc/pin file"
        );
        assert!(uri.allows("token", "The Token") && !uri.allows("token", "the token"));
        assert!(uri.allows("serial", "any"));
    }

    #[test]
    fn a_malformed_uri_is_refused() {
        for (uri, code) in [
            ("token=a", "pkcs11-uri-scheme"),
            ("https://example.com", "pkcs11-uri-scheme"),
            ("pkcs11:token=a", "pkcs11-uri-module"),
            ("pkcs11:?module-name=softhsm2", "pkcs11-uri-module"),
            ("pkcs11:?module-path=/m&pin-value=1234", "pkcs11-uri-pin"),
            ("pkcs11:tokn=a?module-path=/m", "pkcs11-uri-attribute"),
            ("pkcs11:pin-source=/a?module-path=/m", "pkcs11-uri-attribute"),
            ("pkcs11:token=a;token=b?module-path=/m", "pkcs11-uri-duplicate"),
            ("pkcs11:token=%2?module-path=/m", "pkcs11-uri-escape"),
            ("pkcs11:token=%zz?module-path=/m", "pkcs11-uri-escape"),
            ("pkcs11:token=%ff?module-path=/m", "pkcs11-uri-not-utf8"),
            ("pkcs11:type=public?module-path=/m", "pkcs11-uri-type"),
            (
                "pkcs11:?module-path=/m&pin-source=|/bin/pin",
                "pkcs11-uri-pin-source",
            ),
            (
                "pkcs11:?module-path=/m&pin-source=file://other/pin",
                "pkcs11-uri-pin-source",
            ),
        ] {
            let error = Pkcs11Uri::parse(uri).unwrap_err();
            assert_eq!(error.code().unwrap().to_string(), code, "{uri}");
            assert!(!format!("{error} {error:?}").contains("1234"), "{error}");
        }
    }
}
