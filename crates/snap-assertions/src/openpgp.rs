//! The two OpenPGP packets of assertions (RFC 4880): the version 4 signature and the version 4 RSA public
//! key.

mod bytes;
mod error;
mod framing;
mod public_key;

pub use error::PacketError;
pub(crate) use framing::{decode_text, encode_text};
pub(crate) use public_key::{public_key_packet, read_first_public_key, read_public_key};

use aws_lc_rs::digest::{Context, Digest, SHA512};

use bytes::Bytes;
use framing::{frame, unframe};

/// RFC 4880, section 4.3.
const TAG_SIGNATURE: u8 = 2;
/// Sections 5.2.3 and 5.5.2.
const VERSION: u8 = 4;
/// Section 5.2.1: a signature of a binary document.
const TYPE_BINARY: u8 = 0;
/// Section 9.1.
const RSA: u8 = 1;
/// Section 9.4.
const HASH_SHA512: u8 = 10;
/// Section 5.2.3.1.
const SUBPACKET_CREATION_TIME: u8 = 2;
const SUBPACKET_CRITICAL: u8 = 0x80;
/// The types of subpackets that snapd's OpenPGP library understands: it refuses any other that is marked
/// critical.
const SUBPACKETS_KNOWN: [u8; 12] = [2, 3, 9, 11, 16, 21, 22, 25, 27, 29, 30, 32];
/// The DigestInfo of SHA-512 up to the digest (RFC 8017, section 9.2, note 1).
const DIGEST_INFO_SHA512: [u8; 19] = [
    0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00,
    0x04, 0x40,
];

/// An OpenPGP signature as assertions have it: version 4, over a binary document, by RSA with SHA-512.
///
/// Other implementations' extra subpackets, such as GnuPG's issuer fingerprint, are taken and kept.
///
/// ```
/// let assertion = snap_assertions::decode(include_bytes!("../tests/vectors/model.assert"))?;
/// let signature = assertion.signature()?;
/// assert_eq!(signature.creation_time(), 1_795_284_029);
/// assert_eq!(signature.encode(), assertion.signature_text());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignaturePacket {
    /// The packet without its header.
    body: Vec<u8>,
    /// The length of the part of `body` that is signed along with the content.
    hashed: usize,
    /// Where in `body` the first two bytes of the signed digest stand.
    hash_tag: usize,
    creation_time: u32,
}

impl SignaturePacket {
    /// Reads a binary packet, such as `gpg --detach-sign` writes.
    ///
    /// # Errors
    /// If it is not one signature packet of the supported kind.
    pub fn from_bytes(packet: &[u8]) -> Result<Self, PacketError> {
        let (tag, body) = unframe(packet)?;
        if tag != TAG_SIGNATURE {
            let (found, expected) = (tag, TAG_SIGNATURE);
            return Err(PacketError::Tag { found, expected });
        }
        let mut rest = Bytes(body);
        rest.expect("signature version", VERSION, "4")?;
        rest.expect("signature type", TYPE_BINARY, "0 (binary document)")?;
        rest.expect("public key algorithm", RSA, "1 (RSA)")?;
        rest.expect("hash algorithm", HASH_SHA512, "10 (SHA-512)")?;
        let hashed_area = rest.sized()?;
        let hashed = body.len() - rest.0.len();
        let creation_time = check_subpackets(hashed_area, true)?;
        check_subpackets(rest.sized()?, false)?;
        let hash_tag = body.len() - rest.0.len();
        rest.take(2)?;
        rest.number()?;
        rest.end()?;
        Ok(Self {
            body: body.to_vec(),
            hashed,
            hash_tag,
            creation_time: creation_time.ok_or(PacketError::NoCreationTime)?,
        })
    }

    /// Reads the text form that stands in an assertion.
    ///
    /// # Errors
    /// If it is not base64, or does not hold one signature packet of the supported kind.
    pub fn decode(text: &str) -> Result<Self, PacketError> {
        Self::from_bytes(&decode_text(text)?)
    }

    /// The binary packet, in the new format of RFC 4880, section 4.2.2, whatever format it was read in.
    pub fn to_bytes(&self) -> Vec<u8> {
        frame(TAG_SIGNATURE, &self.body)
    }

    /// The text form that stands in an assertion.
    pub fn encode(&self) -> String {
        encode_text(&self.to_bytes())
    }

    /// When the signature was made, in seconds since 1970-01-01T00:00:00Z, as the signer says.
    pub fn creation_time(&self) -> u32 {
        self.creation_time
    }

    /// The digest that must have been signed if the signature belongs to `content`; `None` if the first two
    /// bytes of the digest, which the packet has in the clear, show that it does not.
    pub(crate) fn digest_over(&self, content: &[u8]) -> Option<Digest> {
        let digest = digest(content, self.body.get(..self.hashed)?);
        let tag = self.body.get(self.hash_tag..self.hash_tag + 2)?;
        digest.as_ref().starts_with(tag).then_some(digest)
    }

    /// The raw RSA signature, with the leading zeros that the packet may leave out, for a key of `size`
    /// bytes.
    pub(crate) fn rsa_signature(&self, size: usize) -> Option<Vec<u8>> {
        let number = self.body.get(self.hash_tag + 4..)?;
        let mut padded = vec![0; size.checked_sub(number.len())?];
        padded.extend_from_slice(number);
        Some(padded)
    }
}

/// A signature that lacks only the RSA operation, for signers that have a bare RSA key: in memory, in an HSM,
/// or behind a key manager.
///
/// ```
/// use snap_assertions::PendingSignature;
///
/// let pending = PendingSignature::new(b"type: ...", 1_794_161_724);
/// // Hand `pending.digest_info()` to CKM_RSA_PKCS, or to `sign -m RSA-PKCS` of a key manager; the key's answer:
/// let raw = [1; 512];
/// let packet = pending.finish(&raw);
/// assert_eq!(packet.to_bytes().len(), 533);
/// ```
#[derive(Debug)]
pub struct PendingSignature {
    hashed: [u8; 12],
    digest: Digest,
    creation_time: u32,
}

impl PendingSignature {
    /// Prepares a signature over `content` that says it was made at `time`, in seconds since
    /// 1970-01-01T00:00:00Z.
    pub fn new(content: &[u8], time: u32) -> Self {
        let [a, b, c, d] = time.to_be_bytes();
        let hashed = [
            VERSION,
            TYPE_BINARY,
            RSA,
            HASH_SHA512,
            0,
            6,
            5,
            SUBPACKET_CREATION_TIME,
            a,
            b,
            c,
            d,
        ];
        Self {
            hashed,
            digest: digest(content, &hashed),
            creation_time: time,
        }
    }

    /// The SHA-512 digest to be signed with PKCS#1 v1.5.
    pub fn digest(&self) -> &[u8] {
        self.digest.as_ref()
    }

    /// The DER bytes of the DigestInfo, to be padded and signed by a key that does not know the hash
    /// algorithm.
    pub fn digest_info(&self) -> Vec<u8> {
        [&DIGEST_INFO_SHA512, self.digest()].concat()
    }

    /// The packet that holds `raw`, the RSA signature, as long as the key's modulus.
    pub fn finish(&self, raw: &[u8]) -> SignaturePacket {
        // snapd gives the number's length in whole bytes, whether or not the topmost bits are zero.
        let bits = u16::try_from(raw.len() * 8).unwrap_or(u16::MAX);
        let mut body = Vec::with_capacity(self.hashed.len() + 6 + raw.len());
        body.extend_from_slice(&self.hashed);
        body.extend_from_slice(&[0, 0]);
        let hash_tag = body.len();
        body.extend(self.digest().iter().take(2));
        body.extend_from_slice(&bits.to_be_bytes());
        body.extend_from_slice(raw);
        SignaturePacket {
            body,
            hashed: self.hashed.len(),
            hash_tag,
            creation_time: self.creation_time,
        }
    }

    pub(crate) fn aws_digest(&self) -> &Digest {
        &self.digest
    }
}

/// The digest that a version 4 signature signs (RFC 4880, section 5.2.4).
fn digest(content: &[u8], hashed: &[u8]) -> Digest {
    let length = u32::try_from(hashed.len()).unwrap_or(u32::MAX);
    let mut context = Context::new(&SHA512);
    context.update(content);
    context.update(hashed);
    context.update(&[VERSION, 0xff]);
    context.update(&length.to_be_bytes());
    context.finish()
}

/// Checks an area of subpackets (RFC 4880, section 5.2.3.1) and gives the creation time if there is one in
/// it.
fn check_subpackets(area: &[u8], hashed: bool) -> Result<Option<u32>, PacketError> {
    let mut rest = Bytes(area);
    let mut creation_time = None;
    while !rest.0.is_empty() {
        let length = rest.length(255)?;
        let mut subpacket = Bytes(rest.take(length)?);
        let first = subpacket.byte()?;
        let kind = first & !SUBPACKET_CRITICAL;
        if kind == SUBPACKET_CREATION_TIME {
            let time = subpacket.0.try_into().map_err(|_| PacketError::Subpacket(kind))?;
            creation_time = Some(u32::from_be_bytes(time));
        }
        let misplaced = kind == SUBPACKET_CREATION_TIME && !hashed;
        let unknown = first & SUBPACKET_CRITICAL != 0 && !SUBPACKETS_KNOWN.contains(&kind);
        if misplaced || unknown {
            return Err(PacketError::Subpacket(kind));
        }
    }
    Ok(creation_time)
}
