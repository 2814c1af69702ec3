//! Keys in the GnuPG keyring of `snap create-key` and `snap sign`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use miette::Diagnostic;
use snap_assertions::{KeyError, PacketError, PublicKey, SignaturePacket, Signer, SignerError};
use thiserror::Error;

use crate::program::{ProgramError, SignerProgram};
use crate::{SigningKeyError, check_size};

/// The number of RSA in GnuPG's lists (RFC 4880, section 9.1).
const RSA: &str = "1";
/// snapd's options: the key without signatures of others and pictures.
const EXPORT_OPTIONS: &str = "export-minimal,export-clean,no-export-attributes";

/// Why a key of the GnuPG keyring cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum GnuPgError {
    /// Nothing says where the keyring is.
    #[error("cannot find the GnuPG keyring: there is no home directory")]
    #[diagnostic(
        code("gnupg-no-home"),
        help("Name the directory of the keyring in SNAP_GNUPG_HOME")
    )]
    NoHome,
    /// The keyring does not exist.
    #[error("there is no GnuPG keyring {}", .0.display())]
    #[diagnostic(
        code("gnupg-no-keyring"),
        help("Make a key with `snap create-key NAME`, or name another directory in SNAP_GNUPG_HOME")
    )]
    NoKeyring(PathBuf),
    /// The keyring is empty.
    #[error("there is no private key in the GnuPG keyring {}", .0.display())]
    #[diagnostic(
        code("gnupg-keyring-empty"),
        help("Make a key with `snap create-key NAME`, or name another directory in SNAP_GNUPG_HOME")
    )]
    Empty(PathBuf),
    /// No key has the name.
    #[error("there is no private key {name:?} in the GnuPG keyring {}", home.display())]
    #[diagnostic(code("gnupg-key-unknown"), help("Name one of its keys: {}", names.join(", ")))]
    Unknown {
        /// The name.
        name: String,
        /// The directory of the keyring.
        home: PathBuf,
        /// The names of the keys that it holds.
        names: Vec<String>,
    },
    /// Several keys have the name.
    #[error("there are {} private keys {name:?} in the GnuPG keyring {}", fingerprints.len(), home.display())]
    #[diagnostic(
        code("gnupg-key-ambiguous"),
        help("Name the fingerprint of one of them: {}", fingerprints.join(", "))
    )]
    Ambiguous {
        /// The name.
        name: String,
        /// The directory of the keyring.
        home: PathBuf,
        /// The fingerprints of these keys.
        fingerprints: Vec<String>,
    },
    /// The key is not RSA.
    #[error("the GnuPG key {name:?} in {} is not an RSA key", home.display())]
    #[diagnostic(
        code("gnupg-key-not-rsa"),
        help("Make an RSA key with `snap create-key NAME`")
    )]
    NotRsa {
        /// The name.
        name: String,
        /// The directory of the keyring.
        home: PathBuf,
    },
    /// The public half cannot be used.
    #[error("the GnuPG key {name:?} {reason}")]
    #[diagnostic(
        code("gnupg-key-invalid"),
        help("Make another key with `snap create-key NAME`")
    )]
    PublicKey {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: KeyError,
    },
    /// The output of gpg is not a signature of an assertion.
    #[error("the signature from gpg {0}")]
    #[diagnostic(
        code("gnupg-bad-signature"),
        help("Check gpg.conf for options that change signatures")
    )]
    Signature(PacketError),
}

/// Each signature is a run of `gpg`, which asks the one agent for it. Concurrent runs are safe: the
/// agent asks for a passphrase once, and computes the signatures one after the other.
pub(crate) struct GnuPg {
    keyring: Keyring,
    fingerprint: String,
    public: PublicKey,
}

impl GnuPg {
    /// Opens the key whose user id is `name`, as `snap sign -k NAME` does, or whose fingerprint it is.
    pub(crate) fn open(name: &str, time_limit: Duration) -> Result<Self, SigningKeyError> {
        let keyring = Keyring::open(time_limit)?;
        let fingerprint = keyring.find(name)?;
        let selector = format!("0x{fingerprint}");
        let export = [
            "--batch",
            "--export",
            "--export-options",
            EXPORT_OPTIONS,
            &selector,
        ];
        let packets = keyring.gpg(&export, b"")?;
        let public = PublicKey::from_openpgp(&packets).map_err(|reason| GnuPgError::PublicKey {
            name: name.to_owned(),
            reason,
        })?;
        check_size(&public, || format!("the GnuPG key {name:?}"))?;
        Ok(GnuPg {
            keyring,
            fingerprint,
            public,
        })
    }
}

impl Signer for GnuPg {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// GnuPG writes the current time, not `time`.
    fn sign(&self, content: &[u8], _time: u32) -> Result<SignaturePacket, SignerError> {
        // With the exclamation mark GnuPG does not use a subkey instead of this key.
        let key = format!("0x{}!", self.fingerprint);
        // snapd states SHA512 as a preference; --digest-algo also overrides gpg.conf.
        let arguments = [
            "--personal-digest-preferences",
            "SHA512",
            "--digest-algo",
            "SHA512",
            "--no-textmode",
            "--default-key",
            &key,
            "--detach-sign",
        ];
        let packet = self
            .keyring
            .gpg(&arguments, content)
            .map_err(SigningKeyError::from)?;
        let packet = SignaturePacket::from_bytes(&packet).map_err(GnuPgError::Signature);
        Ok(packet.map_err(SigningKeyError::from)?)
    }
}

struct Keyring {
    home: PathBuf,
    program: SignerProgram,
}

impl Keyring {
    fn open(time_limit: Duration) -> Result<Self, GnuPgError> {
        let home = home()?;
        if !home.is_dir() {
            return Err(GnuPgError::NoKeyring(home));
        }
        let name = gpg_command();
        let advice = format!(
            "Run it on a terminal if the key has a passphrase, and list the keys with `{} --homedir {} \
             --list-secret-keys`",
            name.to_string_lossy(),
            home.display()
        );
        let program = SignerProgram {
            name,
            environment: terminal().into_iter().collect(),
            time_limit,
            advice,
        };
        Ok(Keyring { home, program })
    }

    fn gpg(&self, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, ProgramError> {
        let general = [
            OsStr::new("--homedir"),
            self.home.as_os_str(),
            OsStr::new("-q"),
            OsStr::new("--no-auto-check-trustdb"),
            // gpg.conf may set --armor.
            OsStr::new("--no-armor"),
        ];
        let arguments: Vec<&OsStr> = general
            .into_iter()
            .chain(arguments.iter().map(OsStr::new))
            .collect();
        self.program.run(&arguments, input)
    }

    /// The fingerprint of the only RSA key with the name `name`.
    fn find(&self, name: &str) -> Result<String, SigningKeyError> {
        let list = [
            "--batch",
            "--list-secret-keys",
            "--fingerprint",
            "--with-colons",
            "--fixed-list-mode",
        ];
        let list = self.gpg(&list, b"")?;
        let keys = secret_keys(&String::from_utf8_lossy(&list));
        let found: Vec<&GnuPgKey> = keys.iter().filter(|key| key.is_called(name)).collect();
        let (name, home) = (name.to_owned(), self.home.clone());
        let error = match found.as_slice() {
            [key] if key.algorithm == RSA => return Ok(key.fingerprint.clone()),
            [_] => GnuPgError::NotRsa { name, home },
            [] if keys.is_empty() => GnuPgError::Empty(home),
            [] => {
                let names = keys.iter().flat_map(|key| key.names.clone()).collect();
                GnuPgError::Unknown { name, home, names }
            }
            several => GnuPgError::Ambiguous {
                name,
                home,
                fingerprints: several.iter().map(|key| key.fingerprint.clone()).collect(),
            },
        };
        Err(error.into())
    }
}

/// The directory that snapd uses.
fn home() -> Result<PathBuf, GnuPgError> {
    let given = env::var_os("SNAP_GNUPG_HOME").filter(|value| !value.is_empty());
    match (given, env::home_dir()) {
        (Some(given), _) => Ok(given.into()),
        (None, Some(home)) => Ok(home.join(".snap/gnupg")),
        (None, None) => Err(GnuPgError::NoHome),
    }
}

/// The program that snapd runs. It has to be the same one: GnuPG 1 stores private keys elsewhere.
fn gpg_command() -> OsString {
    let given = env::var_os("SNAP_GNUPG_CMD").filter(|value| !value.is_empty());
    let path = env::var_os("PATH").unwrap_or_default();
    let has_gpg1 = || env::split_paths(&path).any(|directory| directory.join("gpg1").is_file());
    given.unwrap_or_else(|| if has_gpg1() { "gpg1" } else { "gpg" }.into())
}

/// The variable that tells the agent on which terminal to ask for the passphrase: gpg has pipes only.
fn terminal() -> Option<(&'static str, OsString)> {
    if env::var_os("GPG_TTY").is_some_and(|value| !value.is_empty()) {
        return None;
    }
    let terminals = [
        io::stdin().is_terminal(),
        io::stdout().is_terminal(),
        io::stderr().is_terminal(),
    ];
    let descriptor = terminals.iter().position(|terminal| *terminal)?;
    let link = Path::new("/proc/self/fd").join(descriptor.to_string());
    let name = fs::read_link(link).ok()?;
    Some(("GPG_TTY", name.into()))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct GnuPgKey {
    algorithm: String,
    fingerprint: String,
    names: Vec<String>,
}

impl GnuPgKey {
    fn is_called(&self, name: &str) -> bool {
        let fingerprint = name.strip_prefix("0x").unwrap_or(name);
        self.names.iter().any(|own| own == name) || self.fingerprint.eq_ignore_ascii_case(fingerprint)
    }
}

/// Reads GnuPG's list of private keys (doc/DETAILS of its source): lines of fields, of which the
/// records `sec`, `fpr` and `uid` matter; those after `ssb` belong to the subkey.
fn secret_keys(list: &str) -> Vec<GnuPgKey> {
    let mut keys: Vec<GnuPgKey> = Vec::new();
    let mut in_subkey = false;
    for line in list.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let field = |number: usize| fields.get(number - 1).copied().unwrap_or_default();
        match (field(1), keys.last_mut()) {
            ("sec", _) => {
                in_subkey = false;
                keys.push(GnuPgKey {
                    algorithm: field(4).to_owned(),
                    ..GnuPgKey::default()
                });
            }
            ("ssb", _) => in_subkey = true,
            ("fpr", Some(key)) if !in_subkey => key.fingerprint = field(10).to_owned(),
            ("uid", Some(key)) => key.names.push(unescape(field(10))),
            _ => {}
        }
    }
    keys
}

/// The value of a field: a colon in it is written `\x3a`, other bytes likewise.
fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        match after.get(..2).map(|digits| u8::from_str_radix(digits, 16)) {
            Some(Ok(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.extend_from_slice(b"\\x");
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_keys() {
        let list = "\
tru::1:1795000000:0:3:1:5
sec:u:4096:1:F8E142295DBD554B:1451606400:::u:::escaESCA:::+:::23::0:
fpr:::::::::43E22BD9E6BF1A69B8B8595BF8E142295DBD554B:
grp:::::::::217949DBE8EC4A413874BC4574AFB42F58B881B7:
uid:u::::1451606400::CFB2::issuer::::::::::0:
uid:u::::1451606400::CFB3::a\\x3ab \\xc3\\xa4::::::::::0:
ssb:u:4096:1:0000000000000000:1451606400::::::s:::+:::23:
fpr:::::::::0000000000000000000000000000000000000000:
sec:u:255:22:1111111111111111:1451606400:::u:::scESC:::+:::23::0:
fpr:::::::::1111111111111111111111111111111111111111:
";
        let keys = secret_keys(list);
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0].algorithm, RSA);
        assert_eq!(keys[0].fingerprint, "43E22BD9E6BF1A69B8B8595BF8E142295DBD554B");
        assert_eq!(keys[0].names, ["issuer", "a:b ä"]);
        assert_eq!((keys[1].algorithm.as_str(), keys[1].names.len()), ("22", 0));
        assert!(keys[0].is_called("issuer") && !keys[0].is_called("issue"));
        assert!(keys[0].is_called("0x43e22bd9e6bf1a69b8b8595bf8e142295dbd554b"));
        assert_eq!(unescape("\\xzz\\x4"), "\\xzz\\x4");
    }
}
