//! Who signs: the sources of a signing key that the command line can name.

mod gnupg;
mod key_manager;
mod pem;
mod pin;
mod pkcs11;
mod program;
mod secret_file;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args, Parser as _};
use snap_assertions::{MIN_SIGNING_BITS, PublicKey, Signer};

/// Names the key manager where `--key-manager` does not; `snap sign` uses it too.
const KEY_MANAGER: &str = "SNAPD_EXT_KEYMGR";

/// The flags that name a key.
const SOURCES: [&str; 4] = ["key", "gpg-key", "key-name", "pkcs11"];

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
    /// Read the PIN for --pkcs11 from FILE; else from the URI's pin-source, $PKCS11_PIN, or the terminal
    #[arg(
        long,
        value_name = "FILE",
        requires = "pkcs11",
        conflicts_with_all = ["key", "gpg_key", "key_name"],
        help_heading = "Signing key"
    )]
    pin_file: Option<PathBuf>,
    /// Take a key or PIN file that others than its owner can read or write
    #[arg(long, help_heading = "Signing key")]
    insecure_key_permissions: bool,
    /// Stop gpg or the key manager when one signature takes longer; somebody may have to type or touch
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

    /// One flag and its value in one word, such as `key=issuer.pem`.
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
    /// Opens the key, and asks for a PIN where one is needed.
    ///
    /// # Errors
    /// If the key cannot be used, or has less than 4096 bits.
    pub(crate) fn open(&self) -> anyhow::Result<Box<dyn Signer + Send>> {
        let insecure = self.insecure_key_permissions;
        let time_limit = Duration::from_secs(self.signer_timeout);
        if let Some(file) = &self.key {
            Ok(Box::new(pem::open(file, insecure)?))
        } else if let Some(name) = &self.gpg_key {
            Ok(Box::new(gnupg::GnuPg::open(name, time_limit)?))
        } else if let Some(name) = &self.key_name {
            let manager = key_manager::KeyManager::open(self.key_manager()?, name.clone(), time_limit)?;
            Ok(Box::new(manager))
        } else if let Some(uri) = &self.pkcs11 {
            let pin_file = self.pin_file.as_deref();
            Ok(Box::new(pkcs11::Token::open(
                uri,
                &pin::Pin { pin_file, insecure },
            )?))
        } else {
            // Clap lets nobody come here.
            bail!("no signing key is given. Use --key, --gpg-key, --key-name or --pkcs11")
        }
    }

    fn key_manager(&self) -> anyhow::Result<OsString> {
        let inherited = || env::var_os(KEY_MANAGER).filter(|value| !value.is_empty());
        self.key_manager.clone().or_else(inherited).with_context(|| {
            format!("--key-name needs to know the key manager. Use --key-manager or set {KEY_MANAGER}")
        })
    }
}

/// Refuses a key that is too small, before anything is done with it; `key` names it.
fn check_size(public: &PublicKey, key: &str) -> anyhow::Result<()> {
    let bits = public.bits();
    if bits < MIN_SIGNING_BITS {
        bail!("{key} has {bits} bits, at least {MIN_SIGNING_BITS} are needed. Sign with a larger key");
    }
    Ok(())
}
