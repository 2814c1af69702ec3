//! OpenPGP packet errors: cause and advice.

use miette::Diagnostic;
use thiserror::Error;

/// Why bytes are not a packet that an assertion may contain. The messages continue a sentence that
/// starts with the packet.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[non_exhaustive]
pub enum PacketError {
    /// The text is not base64.
    #[error("is not base64 text")]
    #[diagnostic(
        code("packet-not-base64"),
        help("Use the original file; this one was changed")
    )]
    NotBase64,
    /// The first byte is another version of snapd's encoding.
    #[error("has version {0} of snapd's encoding, but only version 1 is known")]
    #[diagnostic(
        code("packet-encoding-unknown"),
        help("Check that the text comes from an assertion, or use a newer version of this program")
    )]
    Encoding(u8),
    /// The bytes end inside the packet.
    #[error("is truncated")]
    #[diagnostic(
        code("packet-truncated"),
        help("Use the original file; the end of this one is missing")
    )]
    Truncated,
    /// Bytes follow the packet or its last field.
    #[error("has bytes after its end")]
    #[diagnostic(
        code("packet-trailing-bytes"),
        help("Use a file that contains one packet only")
    )]
    TrailingBytes,
    /// The packet has an indefinite or partial length, which only data packets may have (RFC 4880,
    /// sections 4.2.1 and 4.2.2.4).
    #[error("has no definite length")]
    #[diagnostic(
        code("packet-length-indefinite"),
        help("Use a packet with a definite length, as snapd and GnuPG write it")
    )]
    IndefiniteLength,
    /// The packet has another tag (RFC 4880, section 4.3).
    #[error("is an OpenPGP packet with tag {found}, not {expected}")]
    #[diagnostic(
        code("packet-tag-wrong"),
        help("Use a signature (tag 2) or a public key (tag 6)")
    )]
    Tag {
        /// The tag of the packet.
        found: u8,
        /// The tag that was expected.
        expected: u8,
    },
    /// A field has a value that assertions do not use.
    #[error("has {field} {found}, but only {supported} is supported")]
    #[diagnostic(
        code("packet-unsupported"),
        help("Use an RSA key, and signatures of version 4 with SHA-512")
    )]
    Unsupported {
        /// The field.
        field: &'static str,
        /// The value of the field.
        found: u8,
        /// The supported value.
        supported: &'static str,
    },
    /// The signed part of a signature has no creation time of four bytes.
    #[error("has no creation time in its hashed part")]
    #[diagnostic(
        code("packet-time-missing"),
        help("Sign with a program that writes the creation time, such as GnuPG")
    )]
    NoCreationTime,
    /// A subpacket of a signature is malformed, in the wrong area, or unsupported: an embedded
    /// signature, or critical and unknown.
    #[error("has a subpacket of type {0} that is malformed, misplaced or unsupported")]
    #[diagnostic(code("packet-subpacket-wrong"), help("Sign again without extra subpackets"))]
    Subpacket(u8),
    /// A number does not have the length that its length field announces.
    #[error("has a number whose length differs from its length field")]
    #[diagnostic(
        code("packet-number-length"),
        help("Use the original file; this one was changed")
    )]
    NumberLength,
}
