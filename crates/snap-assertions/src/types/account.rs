//! `account`: the name of an account, and how the store validated it.

use jiff::Timestamp;

use super::common::fields_of;
use crate::assertion::Assertion;
use crate::fields::HeaderError;
use crate::headers::Headers;

pub(super) const TYPE: &str = "account";

/// A checked `account`.
///
/// ```
/// use snap_assertions::Statement;
/// use snap_assertions::types::Account;
///
/// let json = r#"{
///     "type": "account", "authority-id": "canonical", "account-id": "acme",
///     "display-name": "Acme", "validation": "verified", "timestamp": "2026-01-31T12:00:00Z"
/// }"#;
/// let statement = Statement::from_json(json)?;
/// let account = Account::check(&statement.headers)?;
/// assert_eq!((account.display_name(), account.username()), ("Acme", None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Account<'a> {
    account_id: &'a str,
    display_name: &'a str,
    validation: &'a str,
    username: Option<&'a str>,
    timestamp: Timestamp,
}

impl<'a> Account<'a> {
    /// Checks the headers of an account.
    ///
    /// # Errors
    /// If a header breaks a rule. The error names the first one.
    pub fn check(headers: &'a Headers) -> Result<Self, HeaderError> {
        let fields = fields_of(headers, TYPE)?;
        Ok(Self {
            account_id: fields.str("account-id")?,
            display_name: fields.str("display-name")?,
            // The oldest assertions, which are built into snapd, have the former value.
            validation: match fields.str("validation")? {
                "certified" => "verified",
                validation => validation,
            },
            timestamp: fields.timestamp("timestamp")?,
            username: fields.optional_str("username")?,
        })
    }

    /// The account id.
    pub fn account_id(&self) -> &'a str {
        self.account_id
    }

    /// The name for people to read.
    pub fn display_name(&self) -> &'a str {
        self.display_name
    }

    /// How the store validated the account: `unproven`, `starred` or `verified`.
    pub fn validation(&self) -> &'a str {
        self.validation
    }

    /// The user name, if the assertion has one.
    pub fn username(&self) -> Option<&'a str> {
        self.username
    }

    /// When the assertion was issued.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }
}

impl<'a> TryFrom<&'a Assertion> for Account<'a> {
    type Error = HeaderError;

    fn try_from(assertion: &'a Assertion) -> Result<Self, HeaderError> {
        Self::check(assertion.headers())
    }
}
