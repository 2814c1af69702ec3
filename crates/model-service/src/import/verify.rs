//! The checks on an assertion before it is stored.

use jiff::Timestamp;
use rayon::prelude::*;
use snap_assertions::types::HardwareIdentity;
use snap_assertions::{Assertion, DigestForm};

use super::Checked;
use crate::settings::Form;
use crate::store::Identity;
use crate::trust::AccountKeys;

/// Verifies on all cores, and keeps the order.
pub(super) fn all(batch: &[Assertion], keys: &AccountKeys, forms: &[Form]) -> Vec<Checked> {
    let now = Timestamp::now();
    let check = |assertion: &Assertion| {
        let text = |name| assertion.header(name).map(str::to_owned);
        match identity(assertion, keys, forms, now) {
            Ok(identity) => Checked::Good(identity),
            Err(reason) => Checked::Refused {
                reason,
                hardware_id: text("hardware-id"),
                digest: text("hardware-id-key-sha3-384"),
            },
        }
    };
    batch.par_iter().map(check).collect()
}

fn identity(
    assertion: &Assertion,
    keys: &AccountKeys,
    forms: &[Form],
    now: Timestamp,
) -> Result<Identity, String> {
    let kind = assertion.kind().name();
    if kind != "hardware-identity" {
        return Err(format!(
            "it is of the type {kind}. Import hardware-identity assertions only"
        ));
    }
    let view = HardwareIdentity::check_any_form(assertion.headers()).map_err(|error| error.to_string())?;
    let form = match view.digest_form() {
        DigestForm::Text => Form::Text,
        DigestForm::Der => Form::Der,
    };
    if !forms.contains(&form) {
        return Err(format!(
            "its key digest has the {} form, which the settings do not allow (digest-forms)",
            view.digest_form()
        ));
    }
    keys.verify(assertion, now)?;
    Ok(Identity::new(assertion, &view))
}
