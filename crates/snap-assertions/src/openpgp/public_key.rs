//! The version 4 packet of an RSA public key (RFC 4880, section 5.5.2).

use super::bytes::Bytes;
use super::error::PacketError;
use super::framing::{RSA, VERSION, frame, unframe, unframe_first};

/// RFC 4880, section 4.3.
const TAG_PUBLIC_KEY: u8 = 6;
const TAG_PUBLIC_SUBKEY: u8 = 14;
/// RFC 4880, section 9.1.
const RSA_ENCRYPT_ONLY: u8 = 2;
const RSA_SIGN_ONLY: u8 = 3;
/// snapd gives all public keys the creation time 2016-01-01T00:00:00Z, so that the key id depends
/// on the key only.
const CREATION_TIME: u32 = 0x5685_c180;

/// Writes the packet of an RSA public key with modulus `n` and exponent `e`, without leading zeros.
pub(crate) fn public_key_packet(n: &[u8], e: &[u8]) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend_from_slice(&CREATION_TIME.to_be_bytes());
    body.push(RSA);
    for number in [n, e] {
        let zeros = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let bits = u16::try_from(number.len() * 8 - zeros).unwrap_or(u16::MAX);
        body.extend_from_slice(&bits.to_be_bytes());
        body.extend_from_slice(number);
    }
    frame(TAG_PUBLIC_KEY, &body)
}

/// Reads modulus and exponent of the RSA public key in `packet`; ignores its creation time.
pub(crate) fn read_public_key(packet: &[u8]) -> Result<(Vec<u8>, Vec<u8>), PacketError> {
    let (tag, body) = unframe(packet)?;
    read_fields(tag, body)
}

/// Reads modulus and exponent of the RSA public key in the first of `packets`. An export of GnuPG
/// starts with the primary key (RFC 4880, section 11.1).
pub(crate) fn read_first_public_key(packets: &[u8]) -> Result<(Vec<u8>, Vec<u8>), PacketError> {
    let (tag, body) = unframe_first(&mut Bytes(packets))?;
    read_fields(tag, body)
}

fn read_fields(tag: u8, body: &[u8]) -> Result<(Vec<u8>, Vec<u8>), PacketError> {
    if tag != TAG_PUBLIC_KEY && tag != TAG_PUBLIC_SUBKEY {
        let (found, expected) = (tag, TAG_PUBLIC_KEY);
        return Err(PacketError::Tag { found, expected });
    }
    let mut rest = Bytes(body);
    rest.expect("public key version", VERSION, "4")?;
    rest.take(4)?;
    let algorithm = rest.byte()?;
    if ![RSA, RSA_ENCRYPT_ONLY, RSA_SIGN_ONLY].contains(&algorithm) {
        return Err(PacketError::Unsupported {
            field: "public key algorithm",
            found: algorithm,
            supported: "1 (RSA)",
        });
    }
    let (n, e) = (rest.number()?.to_vec(), rest.number()?.to_vec());
    rest.end()?;
    Ok((n, e))
}
