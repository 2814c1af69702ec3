//! `account-key`: a public key of an account, with its validity and constraints.

use std::collections::HashMap;

use jiff::Timestamp;

use super::common::{check_key_id, fields_of};
use super::constraints::Constraints;
use super::rules::KEY_NAME;
use crate::assertion::{Assertion, VerifyError};
use crate::fields::{Fields, HeaderError, HeaderProblem};
use crate::headers::Headers;
use crate::key::PublicKey;

pub(super) const TYPE: &str = "account-key";

/// The types whose `timestamp` must be in the validity of the key. A `hardware-identity` may have a
/// timestamp too, but snapd does not check it.
const TIMESTAMPED: [&str; 3] = [super::account::TYPE, super::model::TYPE, super::serial::TYPE];

/// The zero time of Go, 0001-01-01T00:00:00Z. In `until`, snapd reads it as no end.
const NO_END: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// A checked `account-key`. It does not borrow from the assertion, so that a program can keep it.
///
/// ```
/// use snap_assertions::types::AccountKey;
///
/// let key = include_bytes!("../../tests/vectors/account-key-issuer.assert");
/// let key = snap_assertions::decode(key)?;
/// let key = AccountKey::try_from(&key)?;
/// assert_eq!((key.account_id(), key.name()), ("acme", Some("default")));
///
/// let identity = include_bytes!("../../tests/vectors/hardware-identity-p256.assert");
/// let identity = snap_assertions::decode(identity)?;
/// key.verify(&identity, "2026-11-21T12:00:00Z".parse()?)?;
/// assert!(key.verify(&identity, "2034-01-01T00:00:00Z".parse()?).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AccountKey {
    account_id: String,
    name: Option<String>,
    since: Timestamp,
    until: Option<Timestamp>,
    public_key: PublicKey,
    constraints: Option<Constraints>,
    revision: u64,
}

impl AccountKey {
    /// Checks the headers and the body of an account-key.
    ///
    /// # Errors
    /// If a header breaks a rule. The error names the first one; for the key in the body that name
    /// is `body`.
    pub fn check(headers: &Headers, body: &str) -> Result<Self, HeaderError> {
        let fields = fields_of(headers, TYPE)?;
        let account_id = fields.str("account-id")?;
        let name = match fields.get("name") {
            // The first keys of the store have no name.
            None => None,
            Some(_) => Some(fields.matching("name", KEY_NAME)?.to_owned()),
        };
        let since = fields.timestamp("since")?;
        let until = fields
            .optional_timestamp("until")?
            .filter(|until| *until != NO_END);
        if until.is_some_and(|until| until < since) {
            return Err(fields.error("until", HeaderProblem::BeforeSince));
        }
        let public_key = PublicKey::decode(body).map_err(|error| fields.error("body", error))?;
        check_key_id(fields, "public-key-sha3-384", &public_key, "the body")?;
        Ok(Self {
            account_id: account_id.to_owned(),
            name,
            since,
            until,
            public_key,
            constraints: Constraints::read(fields)?,
            revision: fields.number("revision")?,
        })
    }

    /// Checks an account-key before signing. One with constraints must have format 1, so that an
    /// older snapd, which does not know constraints, refuses it.
    pub(super) fn check_to_sign(headers: &Headers, body: &str) -> Result<(), HeaderError> {
        let key = Self::check(headers, body)?;
        let fields = Fields::of(headers);
        if key.constraints.is_some() && fields.number("format")? < 1 {
            return Err(fields.error("format", HeaderProblem::FormatTooLow(1)));
        }
        Ok(())
    }

    /// The account id of the owner.
    pub fn account_id(&self) -> &str {
        &self.account_id
    }

    /// The name of the key in the account, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The start of the validity.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// The header `revision`, or 0. The highest revision of an account-key replaces the others.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The end of the validity, if it has one: the first moment at which the key is no longer
    /// valid. Times after [`Timestamp::MAX`] are given as that one.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// The key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Returns true if the key is valid at `time`.
    pub fn is_valid_at(&self, time: Timestamp) -> bool {
        self.since <= time && self.until.is_none_or(|until| time < until)
    }

    /// Checks that this key signed `assertion` and was allowed to. These are snapd's checks, except
    /// for the chain of account-keys up to the store's root.
    ///
    /// `now` must be in the validity of the key, and so must the timestamp of an `account`, `model`
    /// or `serial`. The assertion must be by the account of the key and match the constraints of
    /// the key. The signature must be right.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify(&self, assertion: &Assertion, now: Timestamp) -> Result<(), VerifyError> {
        self.check_valid_at(now)?;
        let authority = assertion.authority_id().unwrap_or_default();
        if authority != self.account_id {
            return Err(VerifyError::OtherAccount {
                authority: authority.to_owned(),
                account: self.account_id.clone(),
            });
        }
        if self
            .constraints
            .as_ref()
            .is_some_and(|known| !known.allow(assertion.headers()))
        {
            return Err(VerifyError::Constraints);
        }
        assertion.verify(&self.public_key)?;
        if !TIMESTAMPED.contains(&assertion.kind().name()) {
            return Ok(());
        }
        let time = Fields::of(assertion.headers())
            .timestamp("timestamp")
            .map_err(Box::new)?;
        if !self.is_valid_at(time) {
            let validity = self.validity();
            return Err(VerifyError::TimestampOutside { time, validity });
        }
        Ok(())
    }

    fn check_valid_at(&self, now: Timestamp) -> Result<(), VerifyError> {
        let since = self.since;
        if now < since {
            return Err(VerifyError::NotYetValid { now, since });
        }
        match self.until {
            Some(until) if until <= now => Err(VerifyError::Expired { now, until }),
            _ => Ok(()),
        }
    }

    fn validity(&self) -> String {
        match self.until {
            Some(until) => format!("from {} until {until}", self.since),
            None => format!("from {}", self.since),
        }
    }
}

impl TryFrom<&Assertion> for AccountKey {
    type Error = HeaderError;

    fn try_from(assertion: &Assertion) -> Result<Self, HeaderError> {
        Self::check(assertion.headers(), assertion.body())
    }
}

/// Account-keys by the id of their key, each in its highest revision, as in snapd's database.
#[derive(Clone, Debug, Default)]
pub struct LatestAccountKeys(HashMap<String, AccountKey>);

impl LatestAccountKeys {
    /// Adds an account-key, unless the same or a higher revision is there: a withdrawn key must not
    /// come back.
    pub fn insert(&mut self, key: AccountKey) {
        let id = key.public_key().id();
        if self.get(id).is_none_or(|known| known.revision() < key.revision()) {
            self.0.insert(id.to_owned(), key);
        }
    }

    /// The account-key of the key with this id.
    pub fn get(&self, key_id: &str) -> Option<&AccountKey> {
        self.0.get(key_id)
    }

    /// All account-keys, in no order.
    pub fn all(&self) -> impl Iterator<Item = &AccountKey> {
        self.0.values()
    }

    /// Returns true if no account-key was added.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
