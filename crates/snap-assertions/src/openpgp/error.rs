//! Errors of packets.

/// Why bytes are not a packet that an assertion may carry. The texts continue a sentence that names the
/// packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The text is not base64.
    #[error("is not base64 text")]
    NotBase64,
    /// The bytes start with another version of snapd's encoding.
    #[error("has version {0} of the encoding, only 1 is known")]
    Encoding(u8),
    /// The bytes end inside the packet.
    #[error("is cut short")]
    Truncated,
    /// Bytes follow where the packet or its last field should end.
    #[error("has bytes after its end")]
    TrailingBytes,
    /// The length of the packet is given in a form that only data packets have (RFC 4880, sections 4.2.1 and
    /// 4.2.2.4).
    #[error("has no definite length")]
    IndefiniteLength,
    /// The packet is of another kind.
    #[error("is an OpenPGP packet with tag {found}, where tag {expected} is needed")]
    Tag {
        /// The tag of the packet.
        found: u8,
        /// The tag of the packet that should stand there.
        expected: u8,
    },
    /// A field has a value that assertions do not use.
    #[error("has {field} {found}, where only {supported} is supported")]
    Unsupported {
        /// The field.
        field: &'static str,
        /// The value it has.
        found: u8,
        /// The value it may have.
        supported: &'static str,
    },
    /// The signed part of a signature has no creation time of four bytes.
    #[error("has no creation time in its hashed part")]
    NoCreationTime,
    /// A subpacket of a signature is malformed, or critical and unknown.
    #[error("has a subpacket of type {0} that is malformed, misplaced, or critical and unknown")]
    Subpacket(u8),
    /// A number does not have the length that stands before it.
    #[error("has a number of another length than announced")]
    NumberLength,
}
