//! PKCS#11 URIs (RFC 7512): which key in which token of which module.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use cryptoki::context::Info;
use cryptoki::slot::{Slot, SlotInfo, TokenInfo};

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

/// What is wrong with a URI is said without the URI: it may hold a PIN.
#[derive(Debug)]
pub(super) struct Uri {
    /// What the token and the key have to be; all texts but `id`.
    path: HashMap<&'static str, Vec<u8>>,
    pub(super) module: PathBuf,
    pub(super) pin_source: Option<PathBuf>,
}

impl Uri {
    pub(super) fn parse(uri: &str) -> anyhow::Result<Self> {
        let scheme = uri
            .split_once(':')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("pkcs11"));
        let Some((_, rest)) = scheme else {
            bail!("the key's URI does not start with \"pkcs11:\". {EXAMPLE}");
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = attributes(path, ';', &PATH_ATTRIBUTES)?;
        let mut query = attributes(query, '&', &QUERY_ATTRIBUTES)?;
        if query.contains_key("pin-value") {
            bail!(
                "the PKCS#11 URI holds the PIN (pin-value), which everybody on this machine can read in the list of \
                 processes and in the shell's history. Take it out and use --pin-file, pin-source in the URI, or \
                 PKCS11_PIN; change the PIN"
            );
        }
        if query.contains_key("module-name") && !query.contains_key("module-path") {
            bail!(
                "the PKCS#11 URI names its module by module-name, which p11-kit alone knows. {MODULE_PATH}"
            );
        }
        for (name, value) in path.iter().filter(|(name, _)| **name != "id") {
            std::str::from_utf8(value)
                .map_err(|_| anyhow!("{name}= in the PKCS#11 URI is not UTF-8. Correct it"))?;
        }
        if path.get("type").is_some_and(|kind| kind != b"private") {
            bail!(
                "the PKCS#11 URI names an object of another type than private. Leave type= out, or write type=private"
            );
        }
        let module = query
            .remove("module-path")
            .context(format!("the PKCS#11 URI does not name the module. {MODULE_PATH}"))?;
        let pin_source = query.remove("pin-source").map(pin_source).transpose()?;
        Ok(Uri {
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

const EXAMPLE: &str =
    "Such a URI is \"pkcs11:token=issuer;object=key?module-path=/usr/lib/libhsm.so\", in quotes";
const MODULE_PATH: &str = "Add the path of the vendor's library at its end: ?module-path=/usr/lib/libhsm.so";

fn attributes(
    text: &str,
    separator: char,
    known: &[&'static str],
) -> anyhow::Result<HashMap<&'static str, Vec<u8>>> {
    let mut found = HashMap::new();
    for part in text.split(separator).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        // Vendors' own attributes (section 2.3) say nothing that is needed here.
        if name.starts_with("x-") {
            continue;
        }
        let name = known
            .iter()
            .copied()
            .find(|known| *known == name)
            .ok_or_else(|| {
                anyhow!(
                    "the PKCS#11 URI has a part that is not understood there: \"{}\". Known are {}",
                    name.escape_debug(),
                    known.join(", ")
                )
            })?;
        let value = decode(value).with_context(|| {
            format!(
                "{name}= in the PKCS#11 URI has a % without two hexadecimal digits after it. Write % as %25"
            )
        })?;
        if found.insert(name, value).is_some() {
            bail!("{name}= stands twice in the PKCS#11 URI. Leave one of them out");
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

/// Section 2.4: a `file:` URI or an absolute path; a command, too, which is nobody's wish here.
fn pin_source(value: Vec<u8>) -> anyhow::Result<PathBuf> {
    let path = value.strip_prefix(b"file:").unwrap_or(&value);
    // Two slashes stand before the name of a machine, which only this one can be (RFC 8089, section 2).
    let local = match path.strip_prefix(b"//") {
        Some(machine) => machine.strip_prefix(b"localhost").unwrap_or(machine),
        None => path,
    };
    if local.first() != Some(&b'/') {
        bail!(
            "pin-source in the PKCS#11 URI is no absolute path. Write pin-source=/PATH of a file with the PIN"
        );
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
        let uri = Uri::parse(uri).unwrap();
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
    fn what_is_wrong_is_named() {
        for (uri, problem) in [
            ("token=a", "does not start"),
            ("https://example.com", "does not start"),
            ("pkcs11:token=a", "does not name the module"),
            ("pkcs11:?module-name=softhsm2", "module-name"),
            ("pkcs11:?module-path=/m&pin-value=1234", "list of processes"),
            ("pkcs11:tokn=a?module-path=/m", "\"tokn\""),
            ("pkcs11:pin-source=/a?module-path=/m", "\"pin-source\""),
            ("pkcs11:token=a;token=b?module-path=/m", "twice"),
            ("pkcs11:token=%2?module-path=/m", "token="),
            ("pkcs11:token=%zz?module-path=/m", "token="),
            ("pkcs11:token=%ff?module-path=/m", "UTF-8"),
            ("pkcs11:type=public?module-path=/m", "type=private"),
            ("pkcs11:?module-path=/m&pin-source=|/bin/pin", "no absolute path"),
            (
                "pkcs11:?module-path=/m&pin-source=file://other/pin",
                "no absolute path",
            ),
        ] {
            let message = Uri::parse(uri).unwrap_err().to_string();
            assert!(message.contains(problem), "{uri}: {message}");
            assert!(!message.contains("1234"), "{message}");
        }
    }
}
