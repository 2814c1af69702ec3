//! `model-service check`: everything that a start needs, without a start.
//!
//! A running service is not disturbed: nothing is written, and the address is not used.

mod keys;
mod report;
mod tls;

use std::path::Path;

use failure::Diagnostic;
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use crate::error::Error;
use crate::page::check_password;
use crate::settings::Settings;
use crate::store::Store;
use crate::tokens::Tokens;
use report::CheckReport;

/// Keys and certificates that are valid for less time get a warning.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What a start accepts, but should be changed: warnings, but for [`NoBrandKey`](Self::NoBrandKey),
/// without which no device of the model is accepted.
#[derive(Debug, Error, Diagnostic)]
enum CheckProblem {
    #[error("the account-key {key} of {account} is valid until {until}")]
    #[diagnostic(
        code("account-key-expires-soon"),
        help("Add its successor to `account-keys`, and use the new key before that time")
    )]
    AccountKeyExpires {
        account: String,
        key: String,
        until: Timestamp,
    },
    #[error("the account-key {key} of {account} is not valid now")]
    #[diagnostic(
        code("account-key-not-valid-now"),
        help("Remove its file from `account-keys`, or put its successor there")
    )]
    AccountKeyNotValid { account: String, key: String },
    #[error("the brand {brand} of the model {model} has no account-key in `account-keys` that is valid now")]
    #[diagnostic(
        code("brand-without-account-key"),
        help("Add the account-key of the key that signs the brand's models to `account-keys`")
    )]
    NoBrandKey { brand: String, model: String },
    #[error(
        "the issuer {issuer} of the model {model} has no account-key in `account-keys` that is valid now"
    )]
    #[diagnostic(
        code("issuer-without-account-key"),
        help("Add the account-key of the key that signs its hardware identities to `account-keys`")
    )]
    NoIssuerKey { issuer: String, model: String },
    #[error("the serials of the model {model} are signed by {account}, not by the brand")]
    #[diagnostic(
        code("serial-authority-needed"),
        help("Check that serial-authority in the model assertion lists {account}; else devices are refused")
    )]
    OtherAuthority { model: String, account: String },
    #[error("the settings have no model, so every device is refused")]
    #[diagnostic(code("no-models"), help("Add a [[model]] table to the settings"))]
    NoModel,
    #[error("the TLS certificate is valid until {until}")]
    #[diagnostic(
        code("tls-certificate-expires-soon"),
        help("Renew it, and restart the model service")
    )]
    CertificateExpires { until: Timestamp },
    #[error("the database has version {version}, and a start migrates it")]
    #[diagnostic(
        code("database-migrates"),
        help("Make a backup with `model-service backup` before the start")
    )]
    Migrates { version: i64 },
}

/// Checks the settings in `file` and all that they name. Prints a line for each check, or one JSON
/// object.
///
/// # Errors
/// [`Error::CheckFailed`] if a check found an error. Warnings are not errors.
pub fn check(file: &Path, json: bool) -> Result<(), Error> {
    let mut report = CheckReport::default();
    match Settings::read(file) {
        Ok(settings) => {
            report.good("settings", file.display().to_string());
            keys::check(&settings, &mut report);
            check_secrets(&settings, &mut report);
            check_store(&settings, &mut report);
        }
        Err(error) => report.error("settings", &error),
    }
    report.print(json).map_err(Error::Stdout)?;
    match report.errors() {
        0 => Ok(()),
        errors => Err(Error::CheckFailed {
            errors,
            checks: report.len(),
        }),
    }
}

fn check_secrets(settings: &Settings, report: &mut CheckReport) {
    match Tokens::read(settings) {
        Ok(_) => report.good("tokens", format!("{} in total", settings.tokens.len() + 1)),
        Err(error) => report.error("tokens", &error),
    }
    match check_password(settings) {
        Ok(()) => report.good("page", settings.page_password_file.display().to_string()),
        Err(error) => report.error("page", &error),
    }
    if let Some(tls) = &settings.tls {
        tls::check(tls, report);
    }
}

fn check_store(settings: &Settings, report: &mut CheckReport) {
    match Store::check_version(settings) {
        Ok((version, true)) => report.good("database", format!("version {version}")),
        Ok((version, false)) => report.warning("database", &CheckProblem::Migrates { version }),
        Err(error) => report.error("database", &error),
    }
}

/// Returns true if `until` is near.
fn is_soon(until: Timestamp) -> bool {
    until.duration_since(Timestamp::now()) < SOON
}
