//! The checks on an assertion before it is stored.

use identity_key::{DigestForm, is_hardware_id};
use jiff::Timestamp;
use snap_assertions::Assertion;
use snap_assertions::types::HardwareIdentity;

use super::error::RefusalReason;
use crate::account_keys::AccountKeys;
use crate::message::shortened;
use crate::store::IdentityRecord;

/// An assertion that was refused.
pub(super) struct RefusedAssertion {
    pub(super) reason: Box<RefusalReason>,
    pub(super) hardware_id: Option<String>,
    pub(super) digest: Option<String>,
}

/// Verifies assertions against the trusted account-keys.
pub(super) struct Verifier<'a> {
    pub(super) account_keys: &'a AccountKeys,
    /// The accepted forms of the key digest.
    pub(super) digest_forms: &'a [DigestForm],
}

impl Verifier<'_> {
    pub(super) fn verify(&self, assertion: &Assertion) -> Result<IdentityRecord, RefusedAssertion> {
        let header = |name| assertion.header(name).map(str::to_owned);
        self.record(assertion).map_err(|reason| RefusedAssertion {
            reason: Box::new(reason),
            hardware_id: header("hardware-id"),
            digest: header("hardware-id-key-sha3-384"),
        })
    }

    fn record(&self, assertion: &Assertion) -> Result<IdentityRecord, RefusalReason> {
        let kind = assertion.kind().name();
        if kind != "hardware-identity" {
            return Err(RefusalReason::OtherType {
                found: kind.to_string(),
            });
        }
        let identity =
            HardwareIdentity::check_any_form(assertion.headers()).map_err(RefusalReason::Header)?;
        if !is_hardware_id(identity.hardware_id()) {
            return Err(RefusalReason::HardwareId {
                hardware_id: shortened(identity.hardware_id()),
            });
        }
        let form = identity.digest_form();
        if !self.digest_forms.contains(&form) {
            return Err(RefusalReason::DigestForm { form });
        }
        self.account_keys.verify(assertion, Timestamp::now())?;
        Ok(IdentityRecord::new(assertion, &identity))
    }
}
