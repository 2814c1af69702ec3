//! Account-keys, models and the keys that sign their serials.

use std::collections::HashMap;
use std::sync::Arc;

use failure::Diagnostic;
use jiff::Timestamp;
use snap_assertions::types::AccountKey;
use snap_assertions::{SignOptions, Signer as _};

use super::report::CheckReport;
use super::{CheckProblem, is_soon};
use crate::account_keys::AccountKeys;
use crate::models::{KnownModel, known_model, open_signer, signing_limits};
use crate::registration::{SerialError, serial_statement};
use crate::serial_keys::{SerialKeySource, SerialSigner};
use crate::settings::{ModelSettings, Settings};

pub(super) fn check(settings: &Settings, report: &mut CheckReport) {
    let account_keys = match AccountKeys::read(&settings.account_keys) {
        Ok(account_keys) => account_keys,
        Err(error) => return report.error("account-keys", &error),
    };
    for key in account_keys.all() {
        check_account_key(key, report);
    }
    if settings.models.is_empty() {
        report.warning("models", &CheckProblem::NoModel);
    }
    let signers = open_signers(settings, report);
    for model in &settings.models {
        // Of a key that cannot be opened, there is a line already.
        if let Some(signer) = signers.get(&model.serial_key) {
            check_model(model, signer, &account_keys, report);
        }
    }
}

fn check_account_key(key: &AccountKey, report: &mut CheckReport) {
    let (account, id) = (key.account_id().to_owned(), key.public_key().id().to_owned());
    match key.until() {
        _ if !key.is_valid_at(Timestamp::now()) => {
            let warning = CheckProblem::AccountKeyNotValid { account, key: id };
            report.warning("account-keys", &warning);
        }
        Some(until) if is_soon(until) => {
            let warning = CheckProblem::AccountKeyExpires {
                account,
                key: id,
                until,
            };
            report.warning("account-keys", &warning);
        }
        Some(until) => report.good("account-keys", format!("{id} of {account}, valid until {until}")),
        None => report.good("account-keys", format!("{id} of {account}")),
    }
}

/// Opens each key that signs serials once. A key outside this process signs then, too.
fn open_signers(
    settings: &Settings,
    report: &mut CheckReport,
) -> HashMap<SerialKeySource, Arc<SerialSigner>> {
    let limits = signing_limits(settings);
    let mut signers = HashMap::new();
    let mut failed = Vec::new();
    for ModelSettings { serial_key, .. } in &settings.models {
        if signers.contains_key(serial_key) || failed.contains(&serial_key) {
            continue;
        }
        match open_signer(serial_key, limits) {
            Ok(signer) => {
                let id = signer.public_key().id();
                report.good("serial-key", format!("{id} in {serial_key}"));
                signers.insert(serial_key.clone(), Arc::new(signer));
            }
            Err(error) => {
                report.error("serial-key", &error);
                failed.push(serial_key);
            }
        }
    }
    signers
}

fn check_model(
    settings: &ModelSettings,
    signer: &Arc<SerialSigner>,
    account_keys: &AccountKeys,
    report: &mut CheckReport,
) {
    let model = match known_model(settings, Arc::clone(signer), account_keys) {
        Ok(model) => model,
        Err(error) => return report.error("model", &error),
    };
    let name = format!("{}/{}", model.brand, model.name);
    let now = Timestamp::now();
    if let Err(error) = check_serial(&model, account_keys) {
        return report.error("model", error.as_ref());
    }
    let has_key = |account: &str| {
        let mut keys = account_keys.all();
        keys.any(|key| key.account_id() == account && key.is_valid_at(now))
    };
    if !has_key(&model.brand) {
        let (brand, model) = (model.brand.clone(), name.clone());
        report.error("model", &CheckProblem::NoBrandKey { brand, model });
    }
    for issuer in settings
        .issuers
        .iter()
        .flatten()
        .filter(|issuer| !has_key(issuer))
    {
        let (issuer, model) = (issuer.clone(), name.clone());
        report.warning("model", &CheckProblem::NoIssuerKey { issuer, model });
    }
    match model.authority == model.brand {
        true => report.good("model", format!("{name}, serials by the brand")),
        false => {
            let (account, model) = (model.authority.clone(), name);
            report.warning("model", &CheckProblem::OtherAuthority { model, account });
        }
    }
}

/// Signs a serial of the model, for nobody, and checks that its account-key allows it.
fn check_serial(model: &KnownModel, account_keys: &AccountKeys) -> Result<(), Box<dyn Diagnostic>> {
    let statement = serial_statement(model, "check", 0, model.signer.public_key());
    let statement = statement.map_err(SerialError::from)?;
    let serial = statement.sign(model.signer.as_ref(), &SignOptions::now())?;
    Ok(account_keys.verify(&serial, Timestamp::now())?)
}
