//! The key of a batch, from which the secret of each challenge is derived, so that a station keeps no
//! state for a device between its challenge and its answer.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

use crate::EkTemplate;

/// The uses of the key.
const SECRET: &[u8] = b"hardware-identity challenge 1";
const ID: &[u8] = b"hardware-identity batch 1";

/// The secret key of a batch: 32 random bytes.
#[derive(Clone, Debug)]
pub struct BatchKey(Zeroizing<[u8; 32]>);

impl BatchKey {
    /// A new key.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn generate() -> Result<Self, Unspecified> {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(bytes.as_mut())?;
        Ok(BatchKey(bytes))
    }

    /// The key with these bytes, `None` if they are not 32.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| BatchKey(Zeroizing::new(bytes)))
    }

    /// The bytes of the key, which are secret.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The public name of the batch: 32 hexadecimal digits.
    pub fn id(&self) -> String {
        let id = self.tag(&[ID]);
        hex::encode(id.as_ref().get(..16).unwrap_or_default())
    }

    /// The secret of the challenge for this device: the SHA-256 of its endorsement key, Name and
    /// hardware id.
    pub(crate) fn secret(
        &self,
        template: EkTemplate,
        key: &[u8; 32],
        name: &[u8],
        hardware_id: &str,
    ) -> Zeroizing<Vec<u8>> {
        // All before the hardware id have a fixed length, or one that their first bytes tell.
        let tag = self.tag(&[
            SECRET,
            template.name().as_bytes(),
            key,
            name,
            hardware_id.as_bytes(),
        ]);
        Zeroizing::new(tag.as_ref().to_vec())
    }

    fn tag(&self, parts: &[&[u8]]) -> hmac::Tag {
        tag(self.as_bytes(), parts)
    }
}

/// The proof in an answer: HMAC-SHA256 with the secret as its key, over the Name of the identity key
/// and the hardware id. The first two bytes of a Name tell its length.
pub fn answer_proof(secret: &[u8], name: &[u8], hardware_id: &str) -> Vec<u8> {
    tag(secret, &[name, hardware_id.as_bytes()]).as_ref().to_vec()
}

fn tag(key: &[u8], parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    context.sign()
}
