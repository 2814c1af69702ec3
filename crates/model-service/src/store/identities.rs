//! The imported hardware identities.

use snap_assertions::types::HardwareIdentity;
use snap_assertions::{Assertion, DigestForm};

use super::{Backend, Store, StoreError};

/// A hardware identity as an import stores it.
#[derive(Debug)]
pub(crate) struct IdentityRecord {
    pub(crate) issuer: String,
    /// The header `hardware-id-key-sha3-384`, in the form that it has.
    pub(crate) digest: String,
    /// The digest of the key's DER bytes, whatever form the header has.
    pub(crate) key_digest: String,
    pub(crate) revision: u64,
    pub(crate) hardware_id: String,
    pub(crate) hardware_name: String,
    pub(crate) manufacturer: String,
    pub(crate) assertion: String,
}

impl IdentityRecord {
    pub(crate) fn new(assertion: &Assertion, identity: &HardwareIdentity<'_>) -> Self {
        Self {
            issuer: identity.issuer_id().to_owned(),
            digest: identity.key_digest().to_owned(),
            key_digest: identity.key().public_key().digest(DigestForm::Der),
            revision: assertion.revision(),
            hardware_id: identity.hardware_id().to_owned(),
            hardware_name: identity.hardware_name().to_owned(),
            manufacturer: identity.manufacturer().to_owned(),
            assertion: assertion.to_string(),
        }
    }
}

/// The part of an identity that a registration needs.
pub(crate) struct StoredIdentity {
    pub(crate) issuer: String,
    pub(crate) key_digest: String,
    pub(crate) assertion: String,
    pub(crate) blocked: bool,
}

impl Store {
    /// The identities whose header `hardware-id-key-sha3-384` is `digest`: one for each issuer.
    pub(crate) fn find_identities(&self, digest: &str) -> Result<Vec<StoredIdentity>, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.find_identities(digest),
            Backend::Postgres(store) => store.find_identities(digest),
        }
    }
}
