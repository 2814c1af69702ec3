//! The two OpenPGP packets of assertions (RFC 4880): version 4 signatures and version 4 RSA public
//! keys.

mod bytes;
mod error;
mod framing;
mod public_key;
mod subpackets;

pub use error::PacketError;
pub(crate) use framing::{decode_text, encode_text};
pub(crate) use public_key::{public_key_packet, read_first_public_key, read_public_key};

use aws_lc_rs::digest::{Context, Digest, SHA512};

use bytes::Bytes;
use framing::{RSA, VERSION, frame, unframe};
use subpackets::{CREATION_TIME, check_subpackets};

/// RFC 4880, section 4.3.
const TAG_SIGNATURE: u8 = 2;
/// RFC 4880, section 5.2.1: signature of a binary document.
const TYPE_BINARY: u8 = 0;
/// RFC 4880, section 9.4.
const HASH_SHA512: u8 = 10;
/// The DigestInfo of SHA-512 up to the digest (RFC 8017, section 9.2, note 1).
const DIGEST_INFO_SHA512: [u8; 19] = [
    0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00,
    0x04, 0x40,
];

/// The OpenPGP signature of an assertion: version 4, over a binary document, RSA with SHA-512.
///
/// Extra subpackets of other implementations, such as GnuPG's issuer fingerprint, are accepted and
/// kept.
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
    /// The length of the part of `body` that is signed together with the content.
    hashed: usize,
    /// The offset in `body` of the first two bytes of the signed digest.
    hash_tag: usize,
    creation_time: u32,
}

impl SignaturePacket {
    /// Reads a binary packet, such as `gpg --detach-sign` writes.
    ///
    /// # Errors
    /// If the bytes are not one supported signature packet.
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

    /// Reads the text form of an assertion.
    ///
    /// # Errors
    /// If the text is not base64, or does not contain one supported signature packet.
    pub fn decode(text: &str) -> Result<Self, PacketError> {
        Self::from_bytes(&decode_text(text)?)
    }

    /// The binary packet, always in the new format (RFC 4880, section 4.2.2).
    pub fn to_bytes(&self) -> Vec<u8> {
        frame(TAG_SIGNATURE, &self.body)
    }

    /// The text form of an assertion.
    pub fn encode(&self) -> String {
        encode_text(&self.to_bytes())
    }

    /// The creation time that the signer wrote, in seconds since 1970-01-01T00:00:00Z.
    pub fn creation_time(&self) -> u32 {
        self.creation_time
    }

    /// The digest that a signature over `content` signs. `None` if its first two bytes differ from
    /// those in the packet, which then is not a signature over `content`.
    pub(crate) fn digest_over(&self, content: &[u8]) -> Option<Digest> {
        let digest = digest(content, self.body.get(..self.hashed)?);
        let tag = self.body.get(self.hash_tag..self.hash_tag + 2)?;
        digest.as_ref().starts_with(tag).then_some(digest)
    }

    /// The raw RSA signature for a key of `size` bytes, with the leading zeros that the packet may
    /// omit.
    pub(crate) fn rsa_signature(&self, size: usize) -> Option<Vec<u8>> {
        let number = self.body.get(self.hash_tag + 4..)?;
        let mut padded = vec![0; size.checked_sub(number.len())?];
        padded.extend_from_slice(number);
        Some(padded)
    }
}

/// A signature before the RSA operation, for signers with a bare RSA key: in memory, in an HSM, or
/// behind a key manager.
///
/// ```
/// use snap_assertions::PendingSignature;
///
/// let pending = PendingSignature::new(b"type: ...", 1_794_161_724);
/// // Pass `pending.digest_info()` to CKM_RSA_PKCS, or to `sign -m RSA-PKCS` of a key manager.
/// // The result:
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
    /// Prepares a signature over `content` with the creation time `time`, in seconds since
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
            CREATION_TIME,
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

    /// The SHA-512 digest to sign with PKCS#1 v1.5.
    pub fn digest(&self) -> &[u8] {
        self.digest.as_ref()
    }

    /// The DigestInfo in DER, for a key that pads and signs but does not know the hash algorithm.
    pub fn digest_info(&self) -> Vec<u8> {
        [&DIGEST_INFO_SHA512, self.digest()].concat()
    }

    /// The packet with `raw`, the RSA signature, which is as long as the modulus of the key.
    pub fn finish(&self, raw: &[u8]) -> SignaturePacket {
        // snapd writes the length of the number in whole bytes, even if its first bits are zero.
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

/// The digest of a version 4 signature (RFC 4880, section 5.2.4).
fn digest(content: &[u8], hashed: &[u8]) -> Digest {
    let length = u32::try_from(hashed.len()).unwrap_or(u32::MAX);
    let mut context = Context::new(&SHA512);
    context.update(content);
    context.update(hashed);
    context.update(&[VERSION, 0xff]);
    context.update(&length.to_be_bytes());
    context.finish()
}
