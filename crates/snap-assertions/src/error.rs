//! Errors: what happened, where, and what to do about it where there is something to do.
//!
//! The text of an error includes that of its cause, so none of them reports the cause as its source too.

use std::fmt;

use crate::key::{KeyError, VerifyError};

/// A part of an assertion's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The header lines.
    Headers,
    /// The body, whose length in bytes the header `body-length` gives.
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

/// Why a stream could not be decoded, and where.
#[derive(Debug, thiserror::Error)]
#[error("assertion {assertion}, line {line}: {kind}")]
pub struct DecodeError {
    /// Which assertion of the stream, counted from 1.
    pub assertion: u64,
    /// The line of the stream, counted from 1: where the trouble is, or where the part that holds it begins.
    pub line: u64,
    /// What is wrong.
    pub kind: DecodeErrorKind,
}

/// What keeps a stream from being decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The reader failed.
    #[error("cannot read: {0}")]
    Io(std::io::Error),
    /// The stream ends inside an assertion.
    #[error("the stream ends in the {0}: the input is truncated, or not a stream of assertions")]
    Truncated(Part),
    /// A part is longer than the format allows.
    #[error("the {part} of more than {limit} bytes: an assertion may not have that many")]
    TooLong {
        /// The part that is too long.
        part: Part,
        /// The limit in bytes.
        limit: usize,
    },
    /// Lines end with carriage return and line feed.
    #[error(
        "lines end with CR LF, where an assertion has LF alone: the file was converted on its way, use the original"
    )]
    CarriageReturn,
    /// A part is not valid UTF-8.
    #[error("the {0} is not UTF-8")]
    NotUtf8(Part),
    /// A header line breaks the syntax.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// No empty line stands between body and signature.
    #[error(
        "no empty line after the {body_length} bytes of body that body-length announces: body and body-length do not match"
    )]
    BodyNotSeparated {
        /// The value of the header `body-length`.
        body_length: usize,
    },
    /// There is nothing where the signature should be.
    #[error("the signature is empty")]
    EmptySignature,
    /// A header has a value that no assertion of the type may have.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// One assertion was asked for, and more text follows it.
    #[error("another assertion or other text follows the one assertion expected")]
    TrailingText,
    /// One assertion was asked for, and there is none.
    #[error("there is no assertion: the input is empty")]
    Empty,
}

impl From<std::io::Error> for DecodeErrorKind {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// A line that breaks the header syntax.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxError {
    /// A line has no colon.
    #[error("a header needs a name and ':', but this line has none: {0:?}")]
    MissingColon(String),
    /// A name holds characters that a header name may not have.
    #[error(
        "{0:?} is not a header name: lower case letters, digits and single dashes, starting with a letter"
    )]
    InvalidName(String),
    /// The value follows the colon or dash without a space.
    #[error("a space must stand before the value: {0:?}")]
    MissingSpace(String),
    /// Nothing indented follows a line that introduces a value of several lines.
    #[error("{name:?} has no value: the lines of its value must follow, indented by {indent} spaces")]
    MissingValue {
        /// The line that introduces the value.
        name: String,
        /// The indentation that a text of several lines would have here.
        indent: usize,
    },
    /// A name stands twice among the headers, or in one map.
    #[error("the header {0:?} stands here a second time")]
    Repeated(String),
}

/// A header whose value is not what the assertion's type demands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("header {header:?}: {problem}")]
pub struct HeaderError {
    /// The header's name; inside lists and maps the way to the value, such as `snaps[2].name` (counted from
    /// 0).
    pub header: String,
    /// What is wrong with it.
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

/// What is wrong with a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderProblem {
    /// The name breaks the rule for header names.
    #[error("not a header name: lower case letters, digits and single dashes, starting with a letter")]
    InvalidName,
    /// The header is required and missing.
    #[error("is missing")]
    Missing,
    /// The header may not be there; the text says why.
    #[error("must not be there: {0}")]
    NotAllowed(&'static str),
    /// The value should be of another kind.
    #[error("must be {0}")]
    MustBe(&'static str),
    /// The value is the empty string.
    #[error("is empty")]
    Empty,
    /// A primary key value has a slash.
    #[error("must not contain '/', being part of the primary key")]
    Slash,
    /// The value is not a decimal integer.
    #[error("{0:?} is not an integer")]
    NotInteger(String),
    /// The number is too large, too small or negative.
    #[error("{0:?} is out of range")]
    OutOfRange(String),
    /// The number has zeros in front.
    #[error("{0:?} has leading zeros")]
    LeadingZeros(String),
    /// The value breaks the pattern for its header.
    #[error("{value:?} does not match {pattern}")]
    Pattern {
        /// The value.
        value: String,
        /// The regular expression that snapd uses.
        pattern: &'static str,
    },
    /// The value is none of those allowed.
    #[error("{value:?} is not one of {allowed}")]
    NotOneOf {
        /// The value.
        value: String,
        /// The allowed values, separated by `|`.
        allowed: &'static str,
    },
    /// The value is not an RFC 3339 date and time.
    #[error("{0:?} is not a date and time of RFC 3339, such as 2026-01-31T12:00:00Z")]
    NotTimestamp(String),
    /// `until` lies before `since`.
    #[error("lies before \"since\"")]
    BeforeSince,
    /// The value is not a SHA3-384 digest in base64url.
    #[error("is not a SHA3-384 digest in base64url without padding (64 characters)")]
    NotDigest,
    /// The header must have the same value as another one.
    #[error("must equal the header {other:?}")]
    Differs {
        /// The other header.
        other: &'static str,
    },
    /// The digest or key id does not belong to the key in another header or in the body.
    #[error("does not fit the key in {key}, whose digest is {expected}")]
    NotTheKeys {
        /// Where the key stands.
        key: &'static str,
        /// The digest or id of the key that stands there.
        expected: String,
    },
    /// `hardware-id-key-sha3-384` fits, but in the other form than asked for.
    #[error(
        "has the digest in the {found} form, where the {expected} form is expected (snapd takes the text form only)"
    )]
    OtherDigestForm {
        /// The form the header has.
        found: DigestForm,
        /// The form the header should have.
        expected: DigestForm,
    },
    /// A public key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The type is none that snapd knows.
    #[error("{0:?} is not a type of assertion that snapd knows")]
    UnknownType(String),
    /// The assertion is of another type than the view that it was given to.
    #[error("is {found:?}, not {expected:?}")]
    OtherType {
        /// The type that the assertion has.
        found: String,
        /// The type that was expected.
        expected: &'static str,
    },
    /// The format iteration is newer than the ones known here.
    #[error(
        "format {found} is newer than the newest known, {supported}: use a newer version of this program"
    )]
    UnsupportedFormat {
        /// The value of the header.
        found: u64,
        /// The newest format known.
        supported: u64,
    },
    /// The assertion has features that need a newer format iteration.
    #[error("must be at least {0} for what the assertion holds")]
    FormatTooLow(u64),
    /// A rule of a single type is broken; the text says which.
    #[error("{0}")]
    Rule(String),
}

/// What the digest in `hardware-id-key-sha3-384` was computed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DigestForm {
    /// The text of the header `hardware-id-key` as it stands, line breaks included. The only form snapd
    /// accepts.
    Text,
    /// The DER bytes that the text encodes, as in the example of the Ubuntu Core documentation.
    Der,
}

impl fmt::Display for DigestForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DigestForm::Text => "text",
            DigestForm::Der => "DER",
        })
    }
}

/// Why an assertion could not be made or signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// A header is missing or wrong.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A part is longer than a decoder would read.
    #[error("the {part} of {found} bytes: an assertion may have at most {limit}")]
    TooLong {
        /// The part that is too long.
        part: Part,
        /// Its length in bytes.
        found: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The key is too small to sign with.
    #[error("the signing key has {0} bits, at least 4096 are needed: use a larger key")]
    KeyTooSmall(usize),
    /// The signer failed.
    #[error("cannot sign: {0}")]
    Signer(crate::sign::SignerError),
    /// The signer gave a signature that its public key does not verify.
    #[error("the signer returned a signature that does not verify with its public key: {0}")]
    BadSignature(VerifyError),
}
