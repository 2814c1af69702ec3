//! A key in the GnuPG keyring of `snap create-key` and `snap sign`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{anyhow, bail};
use snap_assertions::{PublicKey, SignaturePacket, Signer, SignerError};

use super::check_size;
use super::program::Program;

/// The number of RSA in GnuPG's lists (RFC 4880, section 9.1).
const RSA: &str = "1";
/// What snapd exports: the key without others' signatures and pictures.
const EXPORT_OPTIONS: &str = "export-minimal,export-clean,no-export-attributes";

/// Each signature is a run of `gpg`, which gets it from the one agent. Runs side by side are safe: the agent asks for a
/// passphrase once, and computes the signatures one after the other.
pub(super) struct GnuPg {
    keyring: Keyring,
    fingerprint: String,
    public: PublicKey,
}

impl GnuPg {
    /// The key whose user id is `name`, as `snap sign -k NAME` finds it, or whose fingerprint it is.
    pub(super) fn open(name: &str, time_limit: Duration) -> anyhow::Result<Self> {
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
        let public = PublicKey::from_openpgp(&packets).map_err(|error| {
            anyhow!("the GnuPG key \"{name}\" {error}. Make another with `snap create-key`")
        })?;
        check_size(&public, &format!("the GnuPG key \"{name}\""))?;
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
        // With the mark GnuPG does not take a subkey in place of the key that was asked for.
        let key = format!("0x{}!", self.fingerprint);
        // snapd states SHA512 as a preference; as an order it stands over gpg.conf as well.
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
            .map_err(|error| error.to_string())?;
        Ok(SignaturePacket::from_bytes(&packet)
            .map_err(|error| format!("what gpg gave as a signature {error}. Check gpg.conf"))?)
    }
}

struct Keyring {
    home: PathBuf,
    program: Program,
}

impl Keyring {
    fn open(time_limit: Duration) -> anyhow::Result<Self> {
        let home = home()?;
        if !home.is_dir() {
            bail!(
                "there is no GnuPG keyring {}. Make a key with `snap create-key NAME`, or name the folder in \
                 SNAP_GNUPG_HOME",
                home.display()
            );
        }
        let name = gpg_command();
        let advice = format!(
            "A key with a passphrase needs a terminal to ask for it; look at the keyring with `{} --homedir {} \
             --list-secret-keys`",
            name.to_string_lossy(),
            home.display()
        );
        let program = Program {
            name,
            environment: terminal().into_iter().collect(),
            time_limit,
            advice,
        };
        Ok(Keyring { home, program })
    }

    fn gpg(&self, arguments: &[&str], input: &[u8]) -> anyhow::Result<Vec<u8>> {
        let general = [
            OsStr::new("--homedir"),
            self.home.as_os_str(),
            OsStr::new("-q"),
            OsStr::new("--no-auto-check-trustdb"),
            // gpg.conf may ask for text.
            OsStr::new("--no-armor"),
        ];
        let arguments: Vec<&OsStr> = general
            .into_iter()
            .chain(arguments.iter().map(OsStr::new))
            .collect();
        self.program.run(&arguments, input)
    }

    /// The fingerprint of the one RSA key that is called `name`.
    fn find(&self, name: &str) -> anyhow::Result<String> {
        let list = [
            "--batch",
            "--list-secret-keys",
            "--fingerprint",
            "--with-colons",
            "--fixed-list-mode",
        ];
        let list = self.gpg(&list, b"")?;
        let keys = secret_keys(&String::from_utf8_lossy(&list));
        let found: Vec<&SecretKey> = keys.iter().filter(|key| key.is_called(name)).collect();
        let home = self.home.display();
        match found.as_slice() {
            [key] if key.algorithm != RSA => bail!(
                "the GnuPG key \"{name}\" in {home} is no RSA key. Make an RSA key with `snap create-key NAME`"
            ),
            [key] => Ok(key.fingerprint.clone()),
            [] if keys.is_empty() => bail!(
                "there is no private key in the GnuPG keyring {home}. Make one with `snap create-key NAME`, or name \
                 another folder in SNAP_GNUPG_HOME"
            ),
            [] => {
                let names: Vec<&str> = keys
                    .iter()
                    .flat_map(|key| &key.names)
                    .map(String::as_str)
                    .collect();
                bail!(
                    "there is no private key \"{name}\" in the GnuPG keyring {home}. The keys there are: {}",
                    names.join(", ")
                )
            }
            several => {
                let fingerprints: Vec<&str> = several.iter().map(|key| key.fingerprint.as_str()).collect();
                bail!(
                    "there are {} keys \"{name}\" in the GnuPG keyring {home}. Give the fingerprint of one: {}",
                    several.len(),
                    fingerprints.join(", ")
                )
            }
        }
    }
}

/// The folder that snapd uses.
fn home() -> anyhow::Result<PathBuf> {
    let given = env::var_os("SNAP_GNUPG_HOME").filter(|value| !value.is_empty());
    match (given, env::home_dir()) {
        (Some(given), _) => Ok(given.into()),
        (None, Some(home)) => Ok(home.join(".snap/gnupg")),
        (None, None) => {
            bail!("there is no home folder to look for a GnuPG keyring in. Name it in SNAP_GNUPG_HOME")
        }
    }
}

/// The program that snapd runs: GnuPG 1 keeps its private keys elsewhere, so that it has to be the same.
fn gpg_command() -> OsString {
    let given = env::var_os("SNAP_GNUPG_CMD").filter(|value| !value.is_empty());
    let path = env::var_os("PATH").unwrap_or_default();
    let has_gpg1 = || env::split_paths(&path).any(|folder| folder.join("gpg1").is_file());
    given.unwrap_or_else(|| if has_gpg1() { "gpg1" } else { "gpg" }.into())
}

/// Tells the agent on which terminal to ask for the passphrase: gpg itself has none on its pipes.
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
struct SecretKey {
    algorithm: String,
    fingerprint: String,
    names: Vec<String>,
}

impl SecretKey {
    fn is_called(&self, name: &str) -> bool {
        let fingerprint = name.strip_prefix("0x").unwrap_or(name);
        self.names.iter().any(|own| own == name) || self.fingerprint.eq_ignore_ascii_case(fingerprint)
    }
}

/// Reads GnuPG's list of private keys (doc/DETAILS of its source): lines of fields, of which the records `sec`, `fpr`
/// and `uid` matter; those after a subkey's `ssb` are the subkey's.
fn secret_keys(list: &str) -> Vec<SecretKey> {
    let mut keys: Vec<SecretKey> = Vec::new();
    let mut in_subkey = false;
    for line in list.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let field = |number: usize| fields.get(number - 1).copied().unwrap_or_default();
        match (field(1), keys.last_mut()) {
            ("sec", _) => {
                in_subkey = false;
                keys.push(SecretKey {
                    algorithm: field(4).to_owned(),
                    ..SecretKey::default()
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

/// A field's own text: a colon in it is written `\x3a`, other bytes likewise.
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
