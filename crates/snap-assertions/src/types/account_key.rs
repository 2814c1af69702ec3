//! `account-key`: the store's word that a key belongs to an account, and what may be verified with it.

use jiff::Timestamp;

use super::constraints::Constraints;
use super::rules::KEY_NAME;
use super::{check_key_id, fields_of};
use crate::assertion::Assertion;
use crate::error::{HeaderError, HeaderProblem};
use crate::fields::Fields;
use crate::headers::Headers;
use crate::key::{PublicKey, VerifyError};

pub(super) const TYPE: &str = "account-key";

/// The types with a `timestamp` that must lie within the validity of the key. A `hardware-identity` may have
/// one too, but snapd does not look at it.
const TIMESTAMPED: [&str; 3] = [super::account::TYPE, super::model::TYPE, super::serial::TYPE];

/// A checked `account-key`.
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
pub struct AccountKey<'a> {
    account_id: &'a str,
    name: Option<&'a str>,
    since: Timestamp,
    until: Option<Timestamp>,
    public_key: PublicKey,
    constraints: Option<Constraints>,
}

impl<'a> AccountKey<'a> {
    /// Checks the headers and the body of an account-key.
    ///
    /// # Errors
    /// The first header that breaks a rule; trouble with the key in the body is reported as that of the
    /// header `body`.
    pub fn check(headers: &'a Headers, body: &str) -> Result<Self, HeaderError> {
        let fields = fields_of(headers, TYPE)?;
        let account_id = fields.str("account-id")?;
        let name = match fields.get("name") {
            // The first keys of the store have no name.
            None => None,
            Some(_) => Some(fields.matching("name", KEY_NAME)?),
        };
        let since = fields.timestamp("since")?;
        let until = fields.optional_timestamp("until")?;
        if until.is_some_and(|until| until < since) {
            return Err(fields.error("until", HeaderProblem::BeforeSince));
        }
        let public_key = PublicKey::decode(body).map_err(|error| fields.error("body", error))?;
        check_key_id(fields, "public-key-sha3-384", &public_key, "the body")?;
        Ok(Self {
            account_id,
            name,
            since,
            until,
            public_key,
            constraints: Constraints::read(fields)?,
        })
    }

    /// What is checked of an account-key about to be signed: an older snapd, which does not know constraints,
    /// must be kept from taking the key for an unconstrained one.
    pub(super) fn check_to_sign(headers: &'a Headers, body: &str) -> Result<(), HeaderError> {
        let key = Self::check(headers, body)?;
        let fields = Fields::of(headers);
        if key.constraints.is_some() && fields.number("format")? < 1 {
            return Err(fields.error("format", HeaderProblem::FormatTooLow(1)));
        }
        Ok(())
    }

    /// The account that the key belongs to.
    pub fn account_id(&self) -> &'a str {
        self.account_id
    }

    /// The key's name within the account, if it has one.
    pub fn name(&self) -> Option<&'a str> {
        self.name
    }

    /// From when on the key is valid.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// From when on the key is no longer valid, if ever.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// The key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Whether the key is valid at `time`.
    pub fn is_valid_at(&self, time: Timestamp) -> bool {
        self.since <= time && self.until.is_none_or(|until| time < until)
    }

    /// Checks that this key may have signed `assertion`, and did: as snapd does, but for the chain of
    /// account-keys up to the store's root.
    ///
    /// `now` must lie within the key's validity, and so must the timestamp of an `account`, `model` or
    /// `serial`; the assertion must be by the key's account and within the key's constraints; the signature
    /// must fit.
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn verify(&self, assertion: &Assertion, now: Timestamp) -> Result<(), VerifyError> {
        if !self.is_valid_at(now) {
            let (time, validity) = (now.to_string(), self.validity());
            return Err(VerifyError::NotValidNow { time, validity });
        }
        let authority = assertion.authority_id().unwrap_or_default();
        if authority != self.account_id {
            return Err(VerifyError::OtherAccount {
                authority: authority.to_owned(),
                account: self.account_id.to_owned(),
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
            let (time, validity) = (time.to_string(), self.validity());
            return Err(VerifyError::TimestampOutside { time, validity });
        }
        Ok(())
    }

    fn validity(&self) -> String {
        match self.until {
            Some(until) => format!("from {} until {until}", self.since),
            None => format!("from {} on", self.since),
        }
    }
}

impl<'a> TryFrom<&'a Assertion> for AccountKey<'a> {
    type Error = HeaderError;

    fn try_from(assertion: &'a Assertion) -> Result<Self, HeaderError> {
        Self::check(assertion.headers(), assertion.body())
    }
}
