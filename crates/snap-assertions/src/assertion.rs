//! Signed assertions: headers, body, signed content and signature.

use std::fmt;
use std::ops::Range;

use jiff::Timestamp;
use miette::Diagnostic;
use thiserror::Error;

use crate::fields::{Fields, HeaderError, HeaderProblem};
use crate::headers::Headers;
use crate::key::{PublicKey, WrongSignature};
use crate::openpgp::{PacketError, SignaturePacket};
use crate::registry::AssertionType;

/// The largest size of headers in bytes, with the empty line after them (snapd's `MaxHeadersSize`).
pub const MAX_HEADERS: usize = 128 * 1024;
/// The largest size of a body in bytes (snapd's `MaxBodySize`).
pub const MAX_BODY: usize = 2 * 1024 * 1024;
/// The largest size of a signature's base64 text in bytes, with the empty line after it (snapd's
/// `MaxSignatureSize`).
pub const MAX_SIGNATURE: usize = 128 * 1024;

/// A part of an assertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The header lines.
    Headers,
    /// The body. The header `body-length` contains its length in bytes.
    Body,
    /// The base64 text of the signature.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Headers => "headers",
            Part::Body => "body",
            Part::Signature => "signature",
        })
    }
}

/// Why the signature of an assertion was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[non_exhaustive]
pub enum VerifyError {
    /// The assertion names another key.
    #[error("the signature is by the key {needed}, not by {given}")]
    #[diagnostic(
        code("signature-by-other-key"),
        help("Verify with the account-key whose public-key-sha3-384 is {needed}")
    )]
    OtherKey {
        /// The id of the key that the assertion names.
        needed: String,
        /// The id of the key that was given.
        given: String,
    },
    /// The signature is not an OpenPGP signature that assertions use.
    #[error("the signature {0}")]
    #[diagnostic(transparent)]
    Packet(PacketError),
    /// The signature does not match the content and the key.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Signature(#[from] WrongSignature),
    /// The key belongs to another account than `authority-id`.
    #[error("the assertion is by the account {authority:?}, but the key belongs to {account:?}")]
    #[diagnostic(
        code("key-of-other-account"),
        help("Verify with an account-key of the account {authority:?}")
    )]
    OtherAccount {
        /// The header `authority-id` of the assertion.
        authority: String,
        /// The header `account-id` of the account-key.
        account: String,
    },
    /// The constraints of the account-key do not allow the assertion.
    #[error("the constraints of the account-key do not allow this assertion")]
    #[diagnostic(
        code("key-constrained"),
        help("Sign with a key whose constraints allow this assertion")
    )]
    Constraints,
    /// The current time is before the validity of the account-key.
    #[error("the account-key is valid only from {since}, and now is {now}")]
    #[diagnostic(
        code("key-not-yet-valid"),
        help("Check the clock of this machine, or use an account-key that is valid now")
    )]
    NotYetValid {
        /// The current time.
        now: Timestamp,
        /// The start of the validity.
        since: Timestamp,
    },
    /// The current time is after the validity of the account-key.
    #[error("the account-key expired at {until}, and now is {now}")]
    #[diagnostic(
        code("key-expired"),
        help("Get the current account-key of the account, or sign again with a valid key")
    )]
    Expired {
        /// The current time.
        now: Timestamp,
        /// The end of the validity.
        until: Timestamp,
    },
    /// The timestamp of the assertion is outside the validity of the account-key.
    #[error("the timestamp {time} is outside the validity of the account-key, {validity}")]
    #[diagnostic(
        code("timestamp-outside-validity"),
        help("Sign again, with a timestamp in the validity of the key")
    )]
    TimestampOutside {
        /// The header `timestamp`.
        time: Timestamp,
        /// The validity of the key.
        validity: String,
    },
    /// A header breaks a rule of the type.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Header(#[from] Box<HeaderError>),
}

/// A signed assertion.
///
/// [`Decoder`](crate::Decoder), [`decode`](crate::decode) and
/// [`Statement::sign`](crate::Statement::sign) return assertions that follow the rules of all
/// types. The views in [`types`](crate::types) check the rules of each type, and
/// [`verify`](Self::verify) checks the signature.
///
/// `{}` formats the assertion with the line feed at its end. [`Encoder`](crate::Encoder) writes
/// streams.
///
/// ```
/// use snap_assertions::PublicKey;
///
/// let text = include_bytes!("../tests/vectors/serial-request.assert");
/// let assertion = snap_assertions::decode(text)?;
/// assert_eq!(assertion.kind().name(), "serial-request");
/// assert_eq!(assertion.header("model"), Some("edge-box"));
/// assert_eq!(assertion.body().len(), 59);
/// assertion.verify(&PublicKey::decode(include_str!("../tests/vectors/device.public-key"))?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    pub(crate) kind: &'static AssertionType,
    pub(crate) headers: Headers,
    pub(crate) revision: u64,
    pub(crate) format: u64,
    pub(crate) content: String,
    pub(crate) body: Range<usize>,
    /// Base64 text, without the line feed at the end of the assertion.
    pub(crate) signature: String,
}

impl Assertion {
    /// The type.
    pub fn kind(&self) -> &'static AssertionType {
        self.kind
    }

    /// All headers, in their order in the assertion.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The value of the header `name`, if it is a string.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get_str(name)
    }

    /// The header `authority-id`: the account that signs the assertion.
    pub fn authority_id(&self) -> Option<&str> {
        self.header("authority-id")
    }

    /// The header `revision`, or 0.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The header `format`, or 0.
    pub fn format(&self) -> u64 {
        self.format
    }

    /// The values of the primary key headers, in the order of [`AssertionType::primary_key`].
    pub fn primary_key(&self) -> Vec<&str> {
        let value = |name: &&'static str| {
            let default = || self.kind.default_of(name);
            self.header(name).or_else(default).unwrap_or_default()
        };
        self.kind.primary_key().iter().map(value).collect()
    }

    /// The body, or the empty string.
    pub fn body(&self) -> &str {
        self.content.get(self.body.clone()).unwrap_or_default()
    }

    /// The signed bytes: headers and body as they were read.
    pub fn content(&self) -> &str {
        &self.content
    }

    /// The header `sign-key-sha3-384`: the id of the signing key.
    pub fn sign_key_id(&self) -> &str {
        self.header("sign-key-sha3-384").unwrap_or_default()
    }

    /// The base64 text of the signature, without the line feed at the end of the assertion.
    pub fn signature_text(&self) -> &str {
        &self.signature
    }

    /// The signature.
    ///
    /// # Errors
    /// If it is not an OpenPGP signature packet that assertions use.
    pub fn signature(&self) -> Result<SignaturePacket, PacketError> {
        SignaturePacket::decode(&self.signature)
    }

    /// Checks that `key` made the signature over [`content`](Self::content).
    ///
    /// [`AccountKey::verify`](crate::types::AccountKey::verify) also checks account, validity and
    /// constraints of the key.
    ///
    /// # Errors
    /// [`VerifyError::OtherKey`] if the header `sign-key-sha3-384` names another key,
    /// [`VerifyError::Packet`] if the signature cannot be decoded, and [`VerifyError::Signature`]
    /// if it is wrong.
    pub fn verify(&self, key: &PublicKey) -> Result<(), VerifyError> {
        if self.sign_key_id() != key.id() {
            return Err(VerifyError::OtherKey {
                needed: self.sign_key_id().to_owned(),
                given: key.id().to_owned(),
            });
        }
        let signature = self.signature().map_err(VerifyError::Packet)?;
        Ok(key.verify(self.content.as_bytes(), &signature)?)
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}\n", self.content, self.signature)
    }
}

/// The headers that every assertion has, checked.
pub(crate) struct Common {
    pub(crate) kind: &'static AssertionType,
    pub(crate) revision: u64,
    pub(crate) format: u64,
}

/// Checks type, authority, primary key, format and revision.
pub(crate) fn check_common(headers: &Headers) -> Result<Common, HeaderError> {
    let fields = Fields::of(headers);
    let name = fields.str("type")?;
    let kind = AssertionType::find(name)
        .ok_or_else(|| fields.error("type", HeaderProblem::UnknownType(name.to_owned())))?;
    if kind.has_authority() {
        fields.str("authority-id")?;
    } else {
        fields.forbidden(
            "authority-id",
            "the key in the assertion signs assertions of this type",
        )?;
    }
    for key in kind.primary_key() {
        if fields.get(key).is_some() || kind.default_of(key).is_none() {
            fields.primary_key(key)?;
        }
    }
    Ok(Common {
        kind,
        revision: fields.number("revision")?,
        format: fields.number("format")?,
    })
}
