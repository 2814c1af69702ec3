//! The setting `serial-key`: where a key is stored.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use signers::KeySource;

/// Where a key that signs serials is stored.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(from = "Setting")]
pub(crate) enum SerialKeySource {
    /// In a PEM file.
    Pem(PathBuf),
    /// In a place that another process signs with.
    Remote(RemoteKeySource),
}

/// Where a key is stored that does not sign in this process.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Hash, Serialize)]
pub(crate) enum RemoteKeySource {
    /// An HSM.
    Pkcs11 {
        /// PKCS#11 URI (RFC 7512), without a PIN.
        uri: String,
        /// The file with the PIN.
        pin_file: Option<PathBuf>,
    },
    /// The GnuPG keyring of `snap create-key`.
    GnuPg {
        /// The user id or the fingerprint.
        name: String,
    },
    /// An external key manager with snapd's protocol.
    KeyManager {
        /// The program.
        program: PathBuf,
        /// The name of the key.
        key: String,
    },
}

/// The value of the setting. The names are those of the options of `hardware-identity sign`.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a PEM file, a PKCS#11 URI, or a table with `pkcs11` (and `pin-file`), `gpg-key`, or \
                 `key-name` and `key-manager`"
)]
enum Setting {
    Word(String),
    Pkcs11(Pkcs11Setting),
    GnuPg(GnuPgSetting),
    KeyManager(KeyManagerSetting),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Pkcs11Setting {
    pkcs11: String,
    pin_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct GnuPgSetting {
    gpg_key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct KeyManagerSetting {
    key_name: String,
    key_manager: PathBuf,
}

impl From<Setting> for SerialKeySource {
    fn from(setting: Setting) -> Self {
        Self::Remote(match setting {
            Setting::Word(uri) if is_pkcs11(&uri) => RemoteKeySource::Pkcs11 { uri, pin_file: None },
            Setting::Word(file) => return Self::Pem(file.into()),
            Setting::Pkcs11(Pkcs11Setting { pkcs11, pin_file }) => RemoteKeySource::Pkcs11 {
                uri: pkcs11,
                pin_file,
            },
            Setting::GnuPg(GnuPgSetting { gpg_key }) => RemoteKeySource::GnuPg { name: gpg_key },
            Setting::KeyManager(KeyManagerSetting {
                key_name,
                key_manager,
            }) => RemoteKeySource::KeyManager {
                program: key_manager,
                key: key_name,
            },
        })
    }
}

fn is_pkcs11(word: &str) -> bool {
    word.split_once(':')
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("pkcs11"))
}

impl SerialKeySource {
    /// Makes relative paths relative to `directory`. A program without a slash is looked up in
    /// `$PATH`.
    pub(crate) fn resolve(&mut self, directory: &Path) {
        match self {
            Self::Pem(path)
            | Self::Remote(RemoteKeySource::Pkcs11 {
                pin_file: Some(path), ..
            }) => *path = directory.join(&*path),
            Self::Remote(RemoteKeySource::KeyManager { program, .. }) if program.components().count() > 1 => {
                *program = directory.join(&*program);
            }
            Self::Remote(_) => {}
        }
    }
}

impl RemoteKeySource {
    /// The source for [`signers`], with the longest time for one signature.
    pub(super) fn key_source(self, time_limit: Duration) -> KeySource {
        match self {
            Self::Pkcs11 { uri, pin_file } => KeySource::Pkcs11 {
                uri,
                pin_file,
                allow_exposed: false,
            },
            Self::GnuPg { name } => KeySource::GnuPg { name, time_limit },
            Self::KeyManager { program, key } => KeySource::KeyManager {
                program: program.into(),
                key,
                time_limit,
            },
        }
    }
}

impl fmt::Display for SerialKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(file) => write!(f, "{}", file.display()),
            Self::Remote(source) => source.fmt(f),
        }
    }
}

impl fmt::Display for RemoteKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Somebody may have put the PIN into the URI, which is refused later.
            Self::Pkcs11 { uri, .. } if uri.contains("pin-value") => f.write_str("pkcs11:…"),
            Self::Pkcs11 { uri, .. } => f.write_str(uri.split('?').next().unwrap_or_default()),
            Self::GnuPg { name } => write!(f, "{name:?} of GnuPG"),
            Self::KeyManager { program, key } => write!(f, "{key:?} of {}", program.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<SerialKeySource> {
        let table: toml::Table = toml::from_str(&format!("key = {value}")).unwrap();
        table["key"].clone().try_into().ok()
    }

    #[test]
    fn every_kind_of_setting() {
        let pkcs11 = |pin_file: Option<&str>| {
            SerialKeySource::Remote(RemoteKeySource::Pkcs11 {
                uri: "pkcs11:token=a".to_owned(),
                pin_file: pin_file.map(PathBuf::from),
            })
        };
        for (value, expected) in [
            ("\"keys/a.pem\"", SerialKeySource::Pem("keys/a.pem".into())),
            ("\"pkcs11:token=a\"", pkcs11(None)),
            ("{ pkcs11 = \"pkcs11:token=a\" }", pkcs11(None)),
            (
                "{ pkcs11 = \"pkcs11:token=a\", pin-file = \"pin\" }",
                pkcs11(Some("pin")),
            ),
            (
                "{ gpg-key = \"serial\" }",
                SerialKeySource::Remote(RemoteKeySource::GnuPg {
                    name: "serial".to_owned(),
                }),
            ),
            (
                "{ key-name = \"serial\", key-manager = \"/usr/bin/keys\" }",
                SerialKeySource::Remote(RemoteKeySource::KeyManager {
                    program: "/usr/bin/keys".into(),
                    key: "serial".to_owned(),
                }),
            ),
        ] {
            assert_eq!(read(value), Some(expected), "{value}");
        }
        for wrong in [
            "{ gpg-key = \"a\", pin-file = \"pin\" }",
            "{ key-name = \"a\" }",
            "{}",
            "1",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_pin_in_a_uri_is_not_shown() {
        let source = read("\"pkcs11:token=a?pin-value=1234\"").unwrap();
        assert!(!source.to_string().contains("1234"));
    }
}
