//! The account-keys that this service trusts: those that the settings name.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::ensure;
use jiff::Timestamp;
use snap_assertions::types::AccountKey;
use snap_assertions::{Assertion, Decoder};

use crate::explain::Explain as _;

/// Account-keys by the id of their key.
pub(crate) struct AccountKeys(HashMap<String, AccountKey<'static>>);

impl AccountKeys {
    /// Reads files that hold account-keys, and perhaps other assertions beside them.
    pub(crate) fn read(files: &[PathBuf]) -> anyhow::Result<Self> {
        let mut keys = HashMap::new();
        for file in files {
            let name = file.display();
            let next = "Check `account-keys` in the settings";
            let opened = File::open(file).explain(format_args!("{name} cannot be read"), next)?;
            let before = keys.len();
            for assertion in Decoder::new(BufReader::new(opened)) {
                let assertion =
                    assertion.explain(format_args!("{name} holds something else than assertions"), next)?;
                if assertion.kind().name() != "account-key" {
                    continue;
                }
                // A few keys that live as long as the process does, parsed once and not for each signature.
                let assertion: &'static Assertion = Box::leak(Box::new(assertion));
                let key = AccountKey::try_from(assertion)
                    .explain(format_args!("{name} holds a broken account-key"), next)?;
                keys.insert(key.public_key().id().to_owned(), key);
            }
            ensure!(
                keys.len() > before,
                "{name} holds no account-key, or none that other files do not hold. {next}"
            );
        }
        Ok(Self(keys))
    }

    /// The account-key of the key with the id `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&AccountKey<'static>> {
        self.0.get(key)
    }

    /// Checks that a trusted key of the assertion's authority signed it, and may have.
    pub(crate) fn verify(&self, assertion: &Assertion, now: Timestamp) -> Result<(), String> {
        let id = assertion.sign_key_id();
        match self.get(id) {
            None => Err(format!(
                "it is signed with the key {id}, which is not trusted here"
            )),
            Some(key) => key.verify(assertion, now).map_err(|error| error.to_string()),
        }
    }
}
