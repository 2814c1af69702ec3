//! The checks on an assertion before it is stored.

use jiff::Timestamp;
use snap_assertions::types::HardwareIdentity;
use snap_assertions::{Assertion, DigestForm};

use crate::settings::Form;
use crate::store::Identity;
use crate::trust::AccountKeys;

/// What became of an assertion before storing.
pub(super) enum Checked {
    Good(Identity),
    Refused {
        reason: String,
        hardware_id: Option<String>,
        digest: Option<String>,
    },
}

/// Against what assertions are checked.
pub(super) struct Verifier<'a> {
    pub(super) keys: &'a AccountKeys,
    pub(super) forms: &'a [Form],
}

impl Verifier<'_> {
    pub(super) fn check(&self, assertion: &Assertion) -> Checked {
        let text = |name| assertion.header(name).map(str::to_owned);
        match self.identity(assertion) {
            Ok(identity) => Checked::Good(identity),
            Err(reason) => Checked::Refused {
                reason,
                hardware_id: text("hardware-id"),
                digest: text("hardware-id-key-sha3-384"),
            },
        }
    }

    fn identity(&self, assertion: &Assertion) -> Result<Identity, String> {
        let kind = assertion.kind().name();
        if kind != "hardware-identity" {
            return Err(format!(
                "it is of the type {kind}. Import hardware-identity assertions only"
            ));
        }
        let view =
            HardwareIdentity::check_any_form(assertion.headers()).map_err(|error| error.to_string())?;
        let form = match view.digest_form() {
            DigestForm::Text => Form::Text,
            DigestForm::Der => Form::Der,
        };
        if !self.forms.contains(&form) {
            return Err(format!(
                "its key digest has the {} form, which the settings do not allow (digest-forms)",
                view.digest_form()
            ));
        }
        self.keys.verify(assertion, Timestamp::now())?;
        Ok(Identity::new(assertion, &view))
    }
}
