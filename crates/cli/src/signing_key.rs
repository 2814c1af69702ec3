//! The sources of a signing key that a command line can name.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser as _};
use miette::Diagnostic;
use signers::KeySource;
use snap_assertions::Signer;
use thiserror::Error;

use crate::error::ToolError;

/// Names the key manager if `--key-manager` does not; `snap sign` uses it too.
const KEY_MANAGER: &str = "SNAPD_EXT_KEYMGR";

/// The flags that name a key.
const SOURCES: [&str; 4] = ["key", "gpg-key", "key-name", "pkcs11"];

/// The command line does not name a key completely.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum KeyChoiceError {
    #[error("no signing key is named")]
    #[diagnostic(code("no-signing-key"), help("Use --key, --gpg-key, --key-name or --pkcs11"))]
    None,
    #[error("--key-name is given, but no key manager")]
    #[diagnostic(code("no-key-manager"), help("Use --key-manager or set {KEY_MANAGER}"))]
    NoKeyManager,
}

/// The key that signs; exactly one source has to be given.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("signer").required(true)))]
pub(crate) struct SignerArguments {
    /// Sign with the private RSA key in FILE: PEM, PKCS#8 or PKCS#1, without a passphrase
    #[arg(long, value_name = "FILE", group = "signer", help_heading = "Signing key")]
    key: Option<PathBuf>,
    /// Sign with the GnuPG key NAME in $SNAP_GNUPG_HOME or ~/.snap/gnupg, where `snap create-key` makes keys
    #[arg(long, value_name = "NAME", group = "signer", help_heading = "Signing key")]
    gpg_key: Option<String>,
    /// Sign with the key NAME of the external key manager that --key-manager or $SNAPD_EXT_KEYMGR names
    #[arg(long, value_name = "NAME", group = "signer", help_heading = "Signing key")]
    key_name: Option<String>,
    /// The program of the external key manager
    #[arg(
        long,
        value_name = "CMD",
        requires = "key_name",
        conflicts_with_all = ["key", "gpg_key", "pkcs11"],
        help_heading = "Signing key"
    )]
    key_manager: Option<OsString>,
    /// Sign with the key that a PKCS#11 URI (RFC 7512) names in an HSM or a smart card, such as
    /// "pkcs11:token=issuer;object=key?module-path=/usr/lib/libhsm.so"; the PIN is never part of it
    #[arg(long, value_name = "URI", group = "signer", help_heading = "Signing key")]
    pkcs11: Option<String>,
    /// Read the PIN for --pkcs11 from FILE; without this flag from the URI's pin-source, $PKCS11_PIN or the
    /// terminal
    #[arg(
        long,
        value_name = "FILE",
        requires = "pkcs11",
        conflicts_with_all = ["key", "gpg_key", "key_name"],
        help_heading = "Signing key"
    )]
    pin_file: Option<PathBuf>,
    /// Accept a key or PIN file that others than its owner can read or write
    #[arg(long, help_heading = "Signing key")]
    insecure_key_permissions: bool,
    /// Stop gpg or the key manager if one signature takes longer; a person may have to type or touch
    /// something
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(1..=86_400),
        help_heading = "Signing key"
    )]
    signer_timeout: u64,
}

impl FromStr for SignerArguments {
    type Err = String;

    /// Reads a flag and its value in one word, such as `key=issuer.pem`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        #[derive(clap::Parser)]
        struct Alone {
            #[command(flatten)]
            signer: SignerArguments,
        }
        let known = SOURCES.iter().any(|name| text.starts_with(&format!("{name}=")));
        let alone = known.then(|| Alone::try_parse_from(["sign-with", &format!("--{text}")]));
        match alone {
            Some(Ok(alone)) => Ok(alone.signer),
            _ => Err(format!("expected one of {}=…", SOURCES.join("=…, "))),
        }
    }
}

impl SignerArguments {
    /// Opens the key, and asks for a PIN if one is needed.
    ///
    /// # Errors
    /// If the key cannot be used, or has less than 4096 bits.
    pub(crate) fn open(&self) -> Result<Box<dyn Signer + Send>, ToolError> {
        Ok(self.source()?.open()?)
    }

    fn source(&self) -> Result<KeySource, KeyChoiceError> {
        let allow_exposed = self.insecure_key_permissions;
        let time_limit = Duration::from_secs(self.signer_timeout);
        Ok(if let Some(file) = self.key.clone() {
            KeySource::Pem { file, allow_exposed }
        } else if let Some(name) = self.gpg_key.clone() {
            KeySource::GnuPg { name, time_limit }
        } else if let Some(key) = self.key_name.clone() {
            KeySource::KeyManager {
                program: self.key_manager()?,
                key,
                time_limit,
            }
        } else if let Some(uri) = self.pkcs11.clone() {
            KeySource::Pkcs11 {
                uri,
                pin_file: self.pin_file.clone(),
                allow_exposed,
            }
        } else {
            // clap refuses such a command line before.
            return Err(KeyChoiceError::None);
        })
    }

    fn key_manager(&self) -> Result<OsString, KeyChoiceError> {
        let inherited = || env::var_os(KEY_MANAGER).filter(|value| !value.is_empty());
        self.key_manager
            .clone()
            .or_else(inherited)
            .ok_or(KeyChoiceError::NoKeyManager)
    }
}
