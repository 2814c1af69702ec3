//! Packets of other implementations, and packets that assertions must not have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{VECTORS, assertion, signer};
use snap_assertions::{KeyError, PacketError, PublicKey, SignaturePacket, Signer};

/// The packet of a vector as snapd writes it: a header of three bytes and the body.
fn native() -> Vec<u8> {
    assertion("model").signature().unwrap().to_bytes()
}

/// The packet with other hashed and unhashed subpackets.
fn with_areas(hashed: &[u8], unhashed: &[u8]) -> Vec<u8> {
    let native = native();
    let mut body = native[3..7].to_vec();
    for area in [hashed, unhashed] {
        body.extend_from_slice(&(area.len() as u16).to_be_bytes());
        body.extend_from_slice(area);
    }
    body.extend_from_slice(&native[3 + 14..]);
    let mut packet = vec![0x89];
    packet.extend_from_slice(&(body.len() as u16).to_be_bytes());
    packet.extend(body);
    packet
}

const TIME: [u8; 6] = [5, 2, 1, 2, 3, 4];

#[test]
fn the_native_form() {
    for (name, _) in VECTORS {
        let signature = assertion(name).signature().unwrap();
        let bytes = signature.to_bytes();
        assert_eq!(bytes.len(), 533, "{name}");
        assert_eq!(
            bytes[..12],
            [0xc2, 0xc1, 0x52, 4, 0, 1, 10, 0, 6, 5, 2, 0x6b],
            "{name}"
        );
        assert_eq!(
            signature.creation_time(),
            u32::from_be_bytes(bytes[11..15].try_into().unwrap())
        );
        assert_eq!(SignaturePacket::from_bytes(&bytes).unwrap(), signature);
    }
}

#[test]
fn all_definite_lengths() {
    let native = native();
    let body = &native[3..];
    let length = (body.len() as u32).to_be_bytes();
    for header in [
        vec![0x89, length[2], length[3]],
        [&[0x8a][..], &length].concat(),
        [&[0xc2, 0xff][..], &length].concat(),
    ] {
        let packet = SignaturePacket::from_bytes(&[&header, body].concat()).unwrap();
        assert_eq!(packet.to_bytes(), native, "{header:x?}");
    }
    for header in [vec![0x8b], vec![0xc2, 0xe9]] {
        let error = SignaturePacket::from_bytes(&[&header, body].concat()).unwrap_err();
        assert_eq!(error, PacketError::IndefiniteLength);
    }
}

#[test]
fn subpackets() {
    let issuer = [&[9, 16][..], &[7; 8]].concat();
    let fingerprint = [&[22, 33, 4][..], &[7; 20]].concat();
    let long = [&[192, 8, 20][..], &[0; 199]].concat();
    let longer = [&[255, 0, 0, 0, 2, 100][..], &[0]].concat();
    for (hashed, unhashed) in [
        (TIME.to_vec(), vec![]),
        ([&fingerprint[..], &TIME].concat(), issuer.clone()),
        ([&TIME[..], &long, &longer].concat(), issuer),
        // Critical and known: the expiration time, which snapd ignores.
        ([&TIME[..], &[5, 0x83, 0, 0, 0, 1]].concat(), vec![]),
    ] {
        let packet = with_areas(&hashed, &unhashed);
        assert_eq!(
            SignaturePacket::from_bytes(&packet).unwrap().creation_time(),
            0x0102_0304
        );
    }
    for (hashed, unhashed, error) in [
        (vec![], vec![], PacketError::NoCreationTime),
        (vec![], TIME.to_vec(), PacketError::Subpacket(2)),
        (vec![4, 2, 1, 2, 3], vec![], PacketError::Subpacket(2)),
        (
            [&TIME[..], &[2, 0x80 | 20, 0]].concat(),
            vec![],
            PacketError::Subpacket(20),
        ),
        ([&TIME[..], &[0]].concat(), vec![], PacketError::Truncated),
        ([&TIME[..], &[9, 16, 1]].concat(), vec![], PacketError::Truncated),
    ] {
        let packet = with_areas(&hashed, &unhashed);
        assert_eq!(
            SignaturePacket::from_bytes(&packet).unwrap_err(),
            error,
            "{hashed:x?} {unhashed:x?}"
        );
    }
}

#[test]
fn packets_of_other_kinds() {
    let native = native();
    for (place, value, field) in [
        (0, 0x02, "first byte"),
        (3, 3, "signature version"),
        (4, 0x13, "signature type"),
        (5, 17, "public key algorithm"),
        (6, 8, "hash algorithm"),
    ] {
        let mut packet = native.clone();
        packet[place] = value;
        let error = SignaturePacket::from_bytes(&packet).unwrap_err();
        let PacketError::Unsupported { field: found, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(found, field);
    }
    let mut packet = native.clone();
    packet[0] = 0xc6;
    let error = SignaturePacket::from_bytes(&packet).unwrap_err();
    assert_eq!(
        error,
        PacketError::Tag {
            found: 6,
            expected: 2
        }
    );
}

#[test]
fn packets_with_missing_or_extra_bytes() {
    let native = native();
    for length in 0..native.len() {
        assert_eq!(
            SignaturePacket::from_bytes(&native[..length]).unwrap_err(),
            PacketError::Truncated
        );
    }
    let grown = [&native[..], &[0]].concat();
    assert_eq!(
        SignaturePacket::from_bytes(&grown).unwrap_err(),
        PacketError::TrailingBytes
    );
    // Extra bytes that the length of the packet includes.
    let mut grown = grown;
    grown[2] += 1;
    assert_eq!(
        SignaturePacket::from_bytes(&grown).unwrap_err(),
        PacketError::TrailingBytes
    );
}

#[test]
fn the_length_of_a_number_is_exact_or_whole_bytes() {
    let native = native();
    // The bit length of the RSA number follows the two bytes of the digest.
    for (length, accepted) in [(0x1000, true), (0x0fff, false), (0x0ff9, false)] {
        let mut packet = native.clone();
        packet[19..21].copy_from_slice(&u16::to_be_bytes(length));
        let exact = length == 4096 - packet[21].leading_zeros() as u16;
        assert_eq!(
            SignaturePacket::from_bytes(&packet).is_ok(),
            accepted || exact,
            "{length:x}"
        );
    }
}

#[test]
fn leading_zeros_of_a_signature_may_be_left_out() {
    // One signature in 256 starts with a zero byte. GnuPG leaves it out, snapd does not.
    let signer = signer("issuer");
    let (content, native) = (0..10_000)
        .map(|count| format!("text {count}"))
        .map(|content| {
            let packet = signer.sign(content.as_bytes(), 1).unwrap().to_bytes();
            (content, packet)
        })
        .find(|(_, packet)| packet[21] == 0 && packet[22] != 0)
        .unwrap();
    signer
        .public_key()
        .verify(content.as_bytes(), &SignaturePacket::from_bytes(&native).unwrap())
        .unwrap();
    let bits = 511 * 8 - native[22].leading_zeros() as u16;
    let body = [&native[3..19], &bits.to_be_bytes(), &native[22..]].concat();
    let header = [0x89, (body.len() >> 8) as u8, body.len() as u8];
    let packet = SignaturePacket::from_bytes(&[&header[..], &body].concat()).unwrap();
    signer.public_key().verify(content.as_bytes(), &packet).unwrap();
}

#[test]
fn public_keys() {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    let key = signer("issuer").public_key().clone();
    let flat = key.encode().replace('\n', "");
    assert_eq!(PublicKey::decode(&flat).unwrap(), key);
    let packet = BASE64_STANDARD.decode(&flat).unwrap();
    assert_eq!(packet[..10], [1, 0xc6, 0xc1, 0x4d, 4, 0x56, 0x85, 0xc1, 0x80, 1]);

    // The same key with another creation time and algorithm id, in the old format.
    let mut other = packet.clone();
    other.splice(1..4, [0x99, 0x02, 0x0d]);
    other[5..9].fill(9);
    other[9] = 3;
    assert_eq!(
        PublicKey::decode(&BASE64_STANDARD.encode(&other)).unwrap().id(),
        key.id()
    );

    for (place, value) in [
        (0, 2),
        (1, 0xc2),
        (3, 0x4e),
        (4, 3),
        (9, 17),
        (10, 0),
        (packet.len() - 1, 0),
    ] {
        let mut wrong = packet.clone();
        wrong[place] = value;
        assert!(
            PublicKey::decode(&BASE64_STANDARD.encode(&wrong)).is_err(),
            "{place}"
        );
    }
    let n = &packet[12..12 + 512];
    assert_eq!(PublicKey::from_components(n, &[0, 1, 0, 1]).unwrap(), key);
    for (n, e, error) in [
        (n, &[1, 0, 0, 1][..], KeyError::LargeExponent),
        (n, &[1], KeyError::Invalid),
        (n, &[1, 0, 0], KeyError::Invalid),
        (n, &[], KeyError::Invalid),
        (&n[..255], &[1, 0, 1], KeyError::Size { bits: 2040 }),
        (&[0xff; 1025], &[1, 0, 1], KeyError::Size { bits: 8200 }),
    ] {
        assert_eq!(PublicKey::from_components(n, e).unwrap_err(), error);
    }
    for text in ["", "!", "AQ==", "AA==", &flat[..flat.len() - 4]] {
        assert!(PublicKey::decode(text).is_err(), "{text:?}");
    }
}
