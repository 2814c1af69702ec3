//! The account-keys that this service trusts: those that the settings name.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::ensure;
use jiff::Timestamp;
use snap_assertions::types::AccountKey;
use snap_assertions::{Assertion, Decoder};

use crate::explain::Explain as _;

/// The assertion that was verified last, where most are the same one.
#[derive(Default)]
pub(crate) struct LastVerified(Mutex<Option<Assertion>>);

impl LastVerified {
    fn is(&self, assertion: &Assertion) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(assertion)
    }

    fn set(&self, assertion: &Assertion) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(assertion.clone());
    }
}

/// Account-keys by the id of their key.
pub(crate) struct AccountKeys(HashMap<String, AccountKey>);

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
                let key = AccountKey::try_from(&assertion)
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
    pub(crate) fn get(&self, key: &str) -> Option<&AccountKey> {
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

    /// Like [`verify`](Self::verify), but not once more for the very bytes of `last`: of those, all that can have
    /// changed is whether the key is valid now.
    pub(crate) fn verify_repeated(
        &self,
        assertion: &Assertion,
        now: Timestamp,
        last: &LastVerified,
    ) -> Result<(), String> {
        let key = self.get(assertion.sign_key_id());
        if last.is(assertion) && key.is_some_and(|key| key.is_valid_at(now)) {
            return Ok(());
        }
        self.verify(assertion, now)?;
        last.set(assertion);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_was_verified_is_refused_when_its_key_is_no_longer_valid() {
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../snap-assertions/tests/vectors");
        let keys = AccountKeys::read(&[vectors.join("account-key-brand.assert")]).unwrap();
        let model = std::fs::read_to_string(vectors.join("model.assert")).unwrap();
        let model = snap_assertions::decode(model.as_bytes()).unwrap();
        let last = LastVerified::default();
        let verify = |now: &str| keys.verify_repeated(&model, now.parse().unwrap(), &last);
        for _ in 0..2 {
            verify("2033-12-31T23:59:59Z").unwrap();
        }
        assert!(last.is(&model));
        for wrong in ["2034-01-01T00:00:00Z", "2023-12-31T23:59:59Z"] {
            assert!(verify(wrong).is_err());
        }
    }
}
