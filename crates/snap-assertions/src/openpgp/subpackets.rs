//! The areas of subpackets in a signature (RFC 4880, section 5.2.3.1), with the checks of snapd's
//! OpenPGP library (`parseSignatureSubpacket` in golang.org/x/crypto/openpgp/packet).

use super::bytes::Bytes;
use super::error::PacketError;

// The types that the library knows (RFC 4880, section 5.2.3.1).
pub(super) const CREATION_TIME: u8 = 2;
const EXPIRATION_TIME: u8 = 3;
const KEY_EXPIRATION_TIME: u8 = 9;
const PREFERRED_SYMMETRIC: u8 = 11;
const ISSUER: u8 = 16;
const PREFERRED_HASH: u8 = 21;
const PREFERRED_COMPRESSION: u8 = 22;
const PRIMARY_USER_ID: u8 = 25;
const KEY_FLAGS: u8 = 27;
const REVOCATION_REASON: u8 = 29;
const FEATURES: u8 = 30;
const EMBEDDED_SIGNATURE: u8 = 32;

const CRITICAL: u8 = 0x80;

/// Checks an area of subpackets. Returns the creation time, if the area has one.
pub(super) fn check_subpackets(area: &[u8], hashed: bool) -> Result<Option<u32>, PacketError> {
    let mut rest = Bytes(area);
    let mut creation_time = None;
    while !rest.0.is_empty() {
        let length = rest.length(255)?;
        let mut subpacket = Bytes(rest.take(length)?);
        let first = subpacket.byte()?;
        let kind = first & !CRITICAL;
        if !is_accepted(kind, subpacket.0.len(), first & CRITICAL != 0, hashed) {
            return Err(PacketError::Subpacket(kind));
        }
        if kind == CREATION_TIME {
            let time = subpacket.0.try_into().map_err(|_| PacketError::Subpacket(kind))?;
            creation_time = Some(u32::from_be_bytes(time));
        }
    }
    Ok(creation_time)
}

/// Returns true if a subpacket of this type may have this length, in the hashed or the unhashed
/// area. The library ignores most of those that are not hashed.
fn is_accepted(kind: u8, length: usize, critical: bool, hashed: bool) -> bool {
    match kind {
        CREATION_TIME => hashed && length == 4,
        EXPIRATION_TIME | KEY_EXPIRATION_TIME => !hashed || length == 4,
        ISSUER => length == 8,
        PRIMARY_USER_ID => !hashed || length == 1,
        KEY_FLAGS | REVOCATION_REASON => !hashed || length > 0,
        PREFERRED_SYMMETRIC | PREFERRED_HASH | PREFERRED_COMPRESSION | FEATURES => true,
        // Certifies subkeys, so that no signer of assertions writes it. The library accepts a right
        // one.
        EMBEDDED_SIGNATURE => false,
        _ => !critical,
    }
}
