//! A signed assertion: its headers, its body, the content as signed, and the signature.

use std::fmt;
use std::ops::Range;

use crate::error::{HeaderError, HeaderProblem};
use crate::fields::Fields;
use crate::headers::Headers;
use crate::key::{PublicKey, VerifyError};
use crate::openpgp::{PacketError, SignaturePacket};
use crate::registry::AssertionType;

/// The most bytes that headers may have, with the empty line after them (snapd's MaxHeadersSize).
pub const MAX_HEADERS: usize = 128 * 1024;
/// The most bytes that a body may have (snapd's MaxBodySize).
pub const MAX_BODY: usize = 2 * 1024 * 1024;
/// The most bytes that a signature's text may have, with the empty line after it (snapd's MaxSignatureSize).
pub const MAX_SIGNATURE: usize = 128 * 1024;

/// A signed assertion.
///
/// It comes from [`Decoder`](crate::Decoder), [`decode`](crate::decode) or
/// [`Statement::sign`](crate::Statement::sign), and satisfies the rules that all types share. The rules of
/// its own type are checked by the views in
/// [`types`](crate::types), its signature by [`verify`](Self::verify).
///
/// Formatting it with `{}` gives the text with the line feed at its end; [`Encoder`](crate::Encoder) writes
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
    /// Base64 text, without the line feed that ends the assertion.
    pub(crate) signature: String,
}

impl Assertion {
    /// The type.
    pub fn kind(&self) -> &'static AssertionType {
        self.kind
    }

    /// All headers, in the order in which they stand in the text.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The value of the header `name` if there is one and it is a string.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get_str(name)
    }

    /// The header `authority-id`: the account in whose name the assertion is signed.
    pub fn authority_id(&self) -> Option<&str> {
        self.header("authority-id")
    }

    /// The header `revision`; 0 where there is none.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The header `format`; 0 where there is none.
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

    /// The body; empty where there is none.
    pub fn body(&self) -> &str {
        self.content.get(self.body.clone()).unwrap_or_default()
    }

    /// The signed text, byte for byte: headers and body as they were read.
    pub fn content(&self) -> &str {
        &self.content
    }

    /// The header `sign-key-sha3-384`: the id of the key that made the signature.
    pub fn sign_key_id(&self) -> &str {
        self.header("sign-key-sha3-384").unwrap_or_default()
    }

    /// The base64 text of the signature, without the line feed that ends the assertion.
    pub fn signature_text(&self) -> &str {
        &self.signature
    }

    /// The signature.
    ///
    /// # Errors
    /// If the text does not hold an OpenPGP signature packet of the kind that assertions have.
    pub fn signature(&self) -> Result<SignaturePacket, PacketError> {
        SignaturePacket::decode(&self.signature)
    }

    /// Checks that `key` made the signature over [`content`](Self::content).
    ///
    /// This says nothing about whose key it is and when it may be used:
    /// [`AccountKey::verify`](crate::types::AccountKey::verify) does.
    ///
    /// # Errors
    /// If the header `sign-key-sha3-384` names another key, the signature cannot be decoded, or it does not
    /// fit.
    pub fn verify(&self, key: &PublicKey) -> Result<(), VerifyError> {
        if self.sign_key_id() != key.id() {
            return Err(VerifyError::OtherKey {
                needed: self.sign_key_id().to_owned(),
                given: key.id().to_owned(),
            });
        }
        key.verify(self.content.as_bytes(), &self.signature()?)
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}\n", self.content, self.signature)
    }
}

/// What the format demands of the headers of every assertion, signed or about to be.
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
        fields.forbidden("authority-id", "this type is signed by the key it carries")?;
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
