//! Errors about headers: cause and advice.

use identity_key::DigestForm;
use miette::Diagnostic;
use thiserror::Error;

use crate::hardware_key::HardwareKeyError;
use crate::key::KeyError;

/// A header that breaks a rule. Code and advice are those of [`HeaderProblem`].
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[error("header {header:?} {problem}")]
#[diagnostic(forward(problem))]
pub struct HeaderError {
    /// The name of the header. For a value in a list or map, its path, such as `snaps[2].name`
    /// (counted from 0).
    pub header: String,
    /// The rule that the header breaks.
    pub problem: HeaderProblem,
}

impl HeaderError {
    pub(crate) fn new(header: impl Into<String>, problem: HeaderProblem) -> Self {
        Self {
            header: header.into(),
            problem,
        }
    }
}

/// The rule that a header breaks. The messages continue a sentence that starts with the header.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[non_exhaustive]
pub enum HeaderProblem {
    /// The header is required and missing.
    #[error("is missing")]
    #[diagnostic(code("header-missing"), help("Add the header"))]
    Missing,
    /// The header must not be present; the reason says why.
    #[error("is not allowed: {0}")]
    #[diagnostic(code("header-not-allowed"), help("Remove the header"))]
    NotAllowed(&'static str),
    /// The value has another type or form than the one named here.
    #[error("is not {0}")]
    #[diagnostic(code("header-value-wrong"), help("Set the header to {0}"))]
    MustBe(&'static str),
    /// The value is the empty string.
    #[error("is empty")]
    #[diagnostic(code("header-empty"), help("Give the header a value"))]
    Empty,
    /// The value of a primary key header contains a slash.
    #[error("contains '/', which a primary key header must not")]
    #[diagnostic(code("header-has-slash"), help("Remove the slash from the value"))]
    Slash,
    /// The value is not a decimal integer.
    #[error("has the value {0:?}, which is not an integer")]
    #[diagnostic(code("header-not-integer"), help("Write a decimal integer, such as 12"))]
    NotInteger(String),
    /// The number is negative or too large.
    #[error("has the value {0:?}, which is out of range")]
    #[diagnostic(
        code("header-out-of-range"),
        help("Write a number from 0 to 9223372036854775807")
    )]
    OutOfRange(String),
    /// The number starts with zeros.
    #[error("has the value {0:?}, which has leading zeros")]
    #[diagnostic(code("header-leading-zeros"), help("Remove the leading zeros"))]
    LeadingZeros(String),
    /// `body-length` is larger than [`MAX_BODY`](crate::MAX_BODY).
    #[error("announces a body of {length} bytes, more than the {limit} that the format allows")]
    #[diagnostic(code("body-too-long"), help("Check that the input is an assertion"))]
    BodyTooLong {
        /// The value of the header.
        length: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// The value does not match the regular expression for the header.
    #[error("has the value {value:?}, which does not match {pattern}")]
    #[diagnostic(
        code("header-pattern-mismatch"),
        help("Use only the characters and the length that the pattern allows")
    )]
    Pattern {
        /// The value.
        value: String,
        /// The regular expression that snapd uses.
        pattern: &'static str,
    },
    /// The value is not one of the allowed ones.
    #[error("has the value {value:?}, which is not one of {allowed}")]
    #[diagnostic(code("header-choice-unknown"), help("Use one of {allowed}"))]
    NotOneOf {
        /// The value.
        value: String,
        /// The allowed values, separated by `|`.
        allowed: &'static str,
    },
    /// The value is not an RFC 3339 date and time.
    #[error("has the value {0:?}, which is not an RFC 3339 date and time")]
    #[diagnostic(
        code("header-not-timestamp"),
        help("Write a date and time such as 2026-01-31T12:00:00Z")
    )]
    NotTimestamp(String),
    /// `until` is before `since`.
    #[error("is before \"since\"")]
    #[diagnostic(
        code("header-until-before-since"),
        help("Set \"until\" to a time after \"since\"")
    )]
    BeforeSince,
    /// The value is not a SHA3-384 digest in base64url.
    #[error("is not a SHA3-384 digest in base64url")]
    #[diagnostic(
        code("header-not-digest"),
        help("Write the digest as 64 characters of base64url without padding")
    )]
    NotDigest,
    /// The value differs from that of another header.
    #[error("differs from the header {other:?}")]
    #[diagnostic(code("header-differs"), help("Give both headers the same value"))]
    Differs {
        /// The other header.
        other: &'static str,
    },
    /// The digest or key id is not that of the key in another header or in the body.
    #[error("is not the digest of the key in {key}, which is {expected}")]
    #[diagnostic(
        code("header-key-digest-wrong"),
        help("Set the header to the digest of the key in {key}")
    )]
    NotTheKeys {
        /// Where the key is.
        key: &'static str,
        /// The digest or id of that key.
        expected: String,
    },
    /// `hardware-id-key-sha3-384` is the digest of the key in the other form than the one asked
    /// for.
    #[error("has the digest in the {found} form, not in the {expected} form")]
    #[diagnostic(
        code("digest-form-wrong"),
        help("Set `digest-form` to `{expected}` on the device and export again; snapd accepts `text` only")
    )]
    OtherDigestForm {
        /// The form of the header.
        found: DigestForm,
        /// The form that was asked for.
        expected: DigestForm,
    },
    /// The value is not a usable public key of an account or a device.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Key(#[from] KeyError),
    /// The value is not a usable public key of a hardware identity.
    #[error(transparent)]
    #[diagnostic(transparent)]
    HardwareKey(#[from] HardwareKeyError),
    /// snapd does not know the type.
    #[error("has the value {0:?}, which is not an assertion type that snapd knows")]
    #[diagnostic(
        code("assertion-type-unknown"),
        help("Correct the type, or use a newer version of this program")
    )]
    UnknownType(String),
    /// The assertion has another type than the view that it was given to.
    #[error("has the value {found:?}, not {expected:?}")]
    #[diagnostic(code("assertion-type-wrong"), help("Use an assertion of type {expected}"))]
    OtherType {
        /// The type of the assertion.
        found: String,
        /// The type of the view.
        expected: &'static str,
    },
    /// The format iteration is newer than those that this library knows.
    #[error("has the value {found}, which is newer than {supported}, the newest known format")]
    #[diagnostic(
        code("assertion-format-unsupported"),
        help("Use a newer version of this program")
    )]
    UnsupportedFormat {
        /// The value of the header.
        found: u64,
        /// The newest known format.
        supported: u64,
    },
    /// The assertion has features that need a newer format iteration.
    #[error("is less than {0}, which the other headers need")]
    #[diagnostic(code("assertion-format-too-low"), help("Set the header \"format\" to {0}"))]
    FormatTooLow(u64),
    /// A list contains the same item twice.
    #[error("lists the {item} {value:?} twice")]
    #[diagnostic(code("header-duplicate-item"), help("Remove one of the two entries"))]
    Duplicate {
        /// What the list contains.
        item: &'static str,
        /// The name or id of the item.
        value: String,
    },
    /// A model has two snaps of a type that occurs once.
    #[error("lists more than one snap of type {0:?}")]
    #[diagnostic(code("model-snap-type-twice"), help("Remove all but one of them"))]
    SnapTypeTwice(String),
    /// A model lacks a snap of this type.
    #[error("lists no snap of type {0:?}")]
    #[diagnostic(code("model-snap-missing"), help("Add a snap of type {0:?}"))]
    SnapMissing(&'static str),
    /// The base snap of a model has another type than `base`.
    #[error("lists the base {base:?} with type {found:?}")]
    #[diagnostic(code("model-base-type-wrong"), help("Set its type to \"base\""))]
    BaseType {
        /// The base of the model.
        base: String,
        /// The type in the list.
        found: String,
    },
    /// A model does not list its base, and snapd does not know the snap id of that base.
    #[error("does not list the base {0:?}, whose snap id snapd does not know")]
    #[diagnostic(code("model-base-missing"), help("Add the base with its snap id"))]
    BaseMissing(String),
    /// A component has a mode that its snap does not have.
    #[error("has the mode {0:?}, which its snap does not have")]
    #[diagnostic(
        code("model-component-mode"),
        help("Remove the mode, or add it to the modes of the snap")
    )]
    ModeOfSnapMissing(String),
    /// A constraint is a list of alternatives in another such list.
    #[error("is a list of alternatives in a list of alternatives")]
    #[diagnostic(
        code("constraint-nested-alternatives"),
        help("Write all alternatives in one list")
    )]
    NestedAlternatives,
    /// A constraint starts with `$`, but is not `$MISSING`.
    #[error("has the value {0:?}, but $MISSING is the only `$` value of account-keys")]
    #[diagnostic(code("constraint-unsupported"), help("Use $MISSING or a regular expression"))]
    UnsupportedConstraint(String),
    /// A constraint is not a regular expression of Go.
    #[error("has the value {value:?}, which is not a regular expression: {reason}")]
    #[diagnostic(
        code("constraint-not-regex"),
        help("Write a regular expression of Go (RE2); snapd reads no others")
    )]
    NotRegex {
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}
