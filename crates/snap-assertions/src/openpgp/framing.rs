//! Packet headers, and the text form of packets in assertions.
//!
//! An assertion contains a packet as the base64 text of the byte 01 and the packet, in lines of 76
//! characters.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::bytes::Bytes;
use super::error::PacketError;

/// The version of both packets: RFC 4880, sections 5.2.3 and 5.5.2.
pub(super) const VERSION: u8 = 4;
/// The public key algorithm RSA: RFC 4880, section 9.1.
pub(super) const RSA: u8 = 1;
/// The version of snapd's encoding: the byte before each packet in an assertion.
const ENCODING: u8 = 1;
const LINE: usize = 76;

/// The text form of `packet`.
pub(crate) fn encode_text(packet: &[u8]) -> String {
    let flat = BASE64_STANDARD.encode([&[ENCODING], packet].concat());
    let mut text = String::with_capacity(flat.len() + flat.len() / LINE);
    let mut rest = flat.as_str();
    while let Some((line, more)) = rest.split_at_checked(LINE).filter(|(_, more)| !more.is_empty()) {
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text + rest
}

/// The packet in `text`, which may have line breaks anywhere.
pub(crate) fn decode_text(text: &str) -> Result<Vec<u8>, PacketError> {
    let mut flat = Vec::with_capacity(text.len());
    let mut start = 0;
    for end in memchr::memchr2_iter(b'\r', b'\n', text.as_bytes()).chain([text.len()]) {
        flat.extend_from_slice(text.as_bytes().get(start..end).unwrap_or_default());
        start = end + 1;
    }
    let mut bytes = BASE64_STANDARD.decode(flat).map_err(|_| PacketError::NotBase64)?;
    match bytes.first() {
        None => Err(PacketError::Truncated),
        Some(&ENCODING) => {
            bytes.remove(0);
            Ok(bytes)
        }
        Some(&other) => Err(PacketError::Encoding(other)),
    }
}

/// Writes a packet in the new format (RFC 4880, section 4.2.2).
pub(super) fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0xc0 | tag];
    match body.len() {
        length @ 0..192 => packet.push(length as u8),
        length @ 192..8384 => {
            let above = (length - 192) as u16;
            packet.extend_from_slice(&(0xc000 + above).to_be_bytes());
        }
        length => {
            packet.push(255);
            packet.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
    packet.extend_from_slice(body);
    packet
}

/// Reads tag and body of a single packet, in the old or the new format (RFC 4880, section 4.2).
pub(super) fn unframe(packet: &[u8]) -> Result<(u8, &[u8]), PacketError> {
    let mut rest = Bytes(packet);
    let found = unframe_first(&mut rest)?;
    rest.end()?;
    Ok(found)
}

/// Reads tag and body of the packet at the start of `rest`; what follows remains in `rest`.
pub(super) fn unframe_first<'a>(rest: &mut Bytes<'a>) -> Result<(u8, &'a [u8]), PacketError> {
    let first = rest.byte()?;
    let (tag, length) = match first {
        0xc0.. => (first & 0x3f, rest.length(224)?),
        0x80.. => {
            let bytes = match first & 3 {
                3 => return Err(PacketError::IndefiniteLength),
                exponent => 1usize << exponent,
            };
            (first >> 2 & 0xf, rest.big_endian(bytes)?)
        }
        _ => {
            return Err(PacketError::Unsupported {
                field: "first byte",
                found: first,
                supported: "a byte with its first bit set",
            });
        }
    };
    Ok((tag, rest.take(length)?))
}
