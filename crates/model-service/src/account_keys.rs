//! Trusted account-keys: those in the files that the settings name.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use failure::Diagnostic;
use files::FileError;
use jiff::Timestamp;
use snap_assertions::types::{AccountKey, LatestAccountKeys};
use snap_assertions::{Assertion, DecodeError, Decoder, HeaderError, VerifyError};
use thiserror::Error;

/// Why the account-keys cannot be read.
#[derive(Debug, Error, Diagnostic)]
pub enum AccountKeysError {
    /// A file cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// A file holds something other than assertions.
    #[error("{} is not a stream of assertions: {reason}", path.display())]
    #[diagnostic(
        code("account-key-file-invalid"),
        help("Check `account-keys` in the settings")
    )]
    NotAssertions {
        /// The file.
        path: PathBuf,
        /// What the decoder found.
        reason: DecodeError,
    },
    /// An account-key breaks a rule of its type.
    #[error("an account-key in {} is not valid: {reason}", path.display())]
    #[diagnostic(
        code("account-key-file-invalid"),
        help("Check `account-keys` in the settings")
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The header that is wrong.
        reason: HeaderError,
    },
    /// A file has no account-key.
    #[error("{} has no account-key", path.display())]
    #[diagnostic(code("account-key-file-empty"), help("Check `account-keys` in the settings"))]
    NoKey {
        /// The file.
        path: PathBuf,
    },
}

/// Why the signature of an assertion is not accepted.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum SignatureError {
    #[error("the signing key {key} is not among the account-keys of the model service")]
    #[diagnostic(
        code("signing-key-untrusted"),
        help("Add its account-key to `account-keys` in the settings of the model service")
    )]
    Untrusted { key: String },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Verify(#[from] VerifyError),
}

/// The assertion that was verified last. Most requests hold the same one.
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

/// Account-keys by key id.
pub(crate) struct AccountKeys(LatestAccountKeys);

impl AccountKeys {
    /// Reads files of account-keys. Other assertions in them are ignored. The highest revision of an
    /// account-key counts, wherever it is.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Self, AccountKeysError> {
        let mut keys = LatestAccountKeys::default();
        for path in paths {
            read_file(path, &mut keys)?;
        }
        Ok(Self(keys))
    }

    /// The account-key of the key with this id.
    pub(crate) fn get(&self, key_id: &str) -> Option<&AccountKey> {
        self.0.get(key_id)
    }

    /// All account-keys, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &AccountKey> {
        self.0.all()
    }

    /// Checks that a trusted key of the assertion's authority signed it, is valid at `now`, and may
    /// sign such an assertion.
    pub(crate) fn verify(&self, assertion: &Assertion, now: Timestamp) -> Result<(), SignatureError> {
        let key_id = assertion.sign_key_id();
        let key = self.get(key_id).ok_or_else(|| SignatureError::Untrusted {
            key: key_id.to_owned(),
        })?;
        Ok(key.verify(assertion, now)?)
    }

    /// As [`verify`](Self::verify), but does not verify the bytes of `last` again. Of those only
    /// the validity of the key can have changed.
    pub(crate) fn verify_repeated(
        &self,
        assertion: &Assertion,
        now: Timestamp,
        last: &LastVerified,
    ) -> Result<(), SignatureError> {
        let key = self.get(assertion.sign_key_id());
        if last.is(assertion) && key.is_some_and(|key| key.is_valid_at(now)) {
            return Ok(());
        }
        self.verify(assertion, now)?;
        last.set(assertion);
        Ok(())
    }
}

fn read_file(path: &Path, keys: &mut LatestAccountKeys) -> Result<(), AccountKeysError> {
    let mut found = false;
    for assertion in Decoder::new(BufReader::new(files::open(path)?)) {
        let assertion = assertion.map_err(|reason| AccountKeysError::NotAssertions {
            path: path.to_owned(),
            reason,
        })?;
        if assertion.kind().name() != "account-key" {
            continue;
        }
        let key = AccountKey::try_from(&assertion).map_err(|reason| AccountKeysError::Invalid {
            path: path.to_owned(),
            reason,
        })?;
        found = true;
        keys.insert(key);
    }
    if found {
        return Ok(());
    }
    Err(AccountKeysError::NoKey {
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// snapd 2.77.1 keeps the highest revision: here a withdrawn key must not come back.
    #[test]
    fn the_highest_revision_of_an_account_key_wins() {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/account-key-revisions");
        let identity = std::fs::read(cases.join("in.assert")).unwrap();
        let identity = snap_assertions::decode(&identity).unwrap();
        let both = std::fs::read_to_string(cases.join("account-keys")).unwrap();
        let at = both.rfind("type: account-key").unwrap();
        let (withdrawn, valid) = (&both[..at], &both[at..]);
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let withdrawn_file = file("withdrawn", withdrawn);
        let valid_file = file("valid", valid);
        let later = file("later", &both);
        let earlier = file("earlier", &format!("{valid}\n{withdrawn}"));
        let verify = |files: &[PathBuf]| {
            let keys = AccountKeys::read(files).unwrap();
            keys.verify(&identity, "2026-11-21T12:00:00Z".parse().unwrap())
        };
        verify(std::slice::from_ref(&valid_file)).unwrap();
        for files in [
            vec![later],
            vec![earlier],
            vec![withdrawn_file.clone(), valid_file.clone()],
            vec![valid_file, withdrawn_file],
        ] {
            let found = verify(&files);
            assert!(
                matches!(found, Err(SignatureError::Verify(VerifyError::Expired { .. }))),
                "{files:?}"
            );
        }
    }

    #[test]
    fn a_repeated_assertion_is_refused_when_its_key_is_no_longer_valid() {
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
            assert!(matches!(verify(wrong), Err(SignatureError::Verify(_))));
        }
    }
}
