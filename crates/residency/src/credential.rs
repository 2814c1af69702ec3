//! TPM2_MakeCredential in software (TPM 2.0 Library part 1, section 24; annexes B and C for the seed).

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::kdf::{
    KbkdfCtrHmacAlgorithmId, SskdfDigestAlgorithmId, get_kbkdf_ctr_hmac_algorithm,
    get_sskdf_digest_algorithm, kbkdf_ctr_hmac, sskdf_digest,
};
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OaepPublicEncryptingKey, PublicEncryptingKey,
};
use identity_key::{Hash, IdentityPublicKey, KeyKind, Unique};
use miette::Diagnostic;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::EkTemplate;
use crate::marshal::sized;

/// The use of the seed. RSA's OAEP takes it with a zero byte, and so do the key derivations.
const IDENTITY: &[u8] = b"IDENTITY\0";
const STORAGE: &[u8] = b"STORAGE\0";
const INTEGRITY: &[u8] = b"INTEGRITY\0";
/// The tag of an uncompressed point, SEC 1 section 2.3.3.
const UNCOMPRESSED_POINT: u8 = 4;

/// A credential for an endorsement key and a Name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The content of TPM2B_ID_OBJECT: the HMAC with its size, then the encrypted secret.
    pub blob: Vec<u8>,
    /// The content of TPM2B_ENCRYPTED_SECRET: the seed, encrypted to the endorsement key.
    pub encrypted_secret: Vec<u8>,
}

/// No credential can be made for the endorsement key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Diagnostic)]
#[error("cannot encrypt to the endorsement key")]
#[diagnostic(
    code("ek-unusable"),
    help("Check on the device that the key is valid: `tpm2_createek`; if it is, run the command again")
)]
pub struct CredentialError;

impl From<Unspecified> for CredentialError {
    fn from(_: Unspecified) -> Self {
        CredentialError
    }
}

/// Makes a credential over `secret`, which is not longer than the digest of the EK's nameAlg, for the
/// object with the Name `name` in the TPM that holds the endorsement key.
///
/// # Errors
/// [`CredentialError`] if the key is not valid or not of the template's kind, or if the secret is too
/// long.
pub fn make_credential(
    template: EkTemplate,
    key: &IdentityPublicKey,
    name: &[u8],
    secret: &[u8],
) -> Result<Credential, CredentialError> {
    if key.kind() != template.kind() || secret.len() > digest_length(template.hash()) {
        return Err(CredentialError);
    }
    let (seed, encrypted_secret) = match key.unique() {
        Unique::Modulus(_) => encrypted_seed(template.hash(), key)?,
        Unique::Point { x, y } => {
            let private = PrivateKey::generate(curve(key.kind()))?;
            agreed_seed(template.hash(), x, y, &private)?
        }
    };
    Ok(Credential {
        blob: blob(template, &seed, name, secret)?,
        encrypted_secret,
    })
}

type Seed = Zeroizing<Vec<u8>>;

/// A random seed, encrypted with RSAES-OAEP (annex B.10.4).
fn encrypted_seed(hash: Hash, key: &IdentityPublicKey) -> Result<(Seed, Vec<u8>), CredentialError> {
    let mut seed = zeros(digest_length(hash));
    rand::fill(&mut seed)?;
    let key = PublicEncryptingKey::from_der(key.der()).map_err(|_| CredentialError)?;
    let key = OaepPublicEncryptingKey::new(key)?;
    let oaep = match hash {
        Hash::Sha256 => &OAEP_SHA256_MGF1SHA256,
        Hash::Sha384 => &OAEP_SHA384_MGF1SHA384,
    };
    let mut encrypted = vec![0; key.ciphertext_size()];
    key.encrypt(oaep, &seed, &mut encrypted, Some(IDENTITY))?;
    Ok((seed, encrypted))
}

/// The seed from an agreement with an ephemeral key, and the public half of that key (annex C.6.1).
fn agreed_seed(
    hash: Hash,
    x: &[u8],
    y: &[u8],
    private: &PrivateKey,
) -> Result<(Seed, Vec<u8>), CredentialError> {
    let public = private.compute_public_key()?;
    let coordinates = public.as_ref().get(1..).unwrap_or_default();
    let (ephemeral_x, ephemeral_y) = coordinates.split_at_checked(x.len()).ok_or(CredentialError)?;
    let point = [&[UNCOMPRESSED_POINT], x, y].concat();
    let peer = UnparsedPublicKey::new(private.algorithm(), point);
    // KDFe (section 11.4.10.3) is the one-step key derivation of NIST SP 800-56C.
    let algorithm = match hash {
        Hash::Sha256 => get_sskdf_digest_algorithm(SskdfDigestAlgorithmId::Sha256),
        Hash::Sha384 => get_sskdf_digest_algorithm(SskdfDigestAlgorithmId::Sha384),
    };
    let algorithm = algorithm.ok_or(CredentialError)?;
    let info = [IDENTITY, ephemeral_x, x].concat();
    let seed = agreement::agree(private, peer, CredentialError, |z| {
        let mut seed = zeros(digest_length(hash));
        sskdf_digest(algorithm, z, &info, &mut seed)?;
        Ok(seed)
    })?;
    Ok((seed, [sized(ephemeral_x), sized(ephemeral_y)].concat()))
}

/// The content of TPM2B_ID_OBJECT.
fn blob(template: EkTemplate, seed: &[u8], name: &[u8], secret: &[u8]) -> Result<Vec<u8>, CredentialError> {
    let hash = template.hash();
    let mut key = zeros(usize::from(template.symmetric_bits() / 8));
    derive(hash, seed, &[STORAGE, name], &mut key)?;
    let aes = match template.symmetric_bits() {
        128 => &AES_128,
        _ => &AES_256,
    };
    let mut encrypted = sized(secret);
    // The key is used once, so the IV may be zero.
    let iv = EncryptionContext::Iv128(FixedLength::from([0; 16]));
    EncryptingKey::cfb128(UnboundCipherKey::new(aes, &key)?)?.less_safe_encrypt(&mut encrypted, iv)?;

    let mut key = zeros(digest_length(hash));
    derive(hash, seed, &[INTEGRITY], &mut key)?;
    let algorithm = match hash {
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha384 => hmac::HMAC_SHA384,
    };
    let mut integrity = hmac::Context::with_key(&hmac::Key::new(algorithm, &key));
    integrity.update(&encrypted);
    integrity.update(name);
    Ok([sized(integrity.sign().as_ref()), encrypted].concat())
}

/// KDFa (section 11.4.10.2), which is the counter mode of NIST SP 800-108 with HMAC: the use with its
/// zero byte and the context, then the number of bits.
fn derive(hash: Hash, seed: &[u8], use_and_context: &[&[u8]], key: &mut [u8]) -> Result<(), CredentialError> {
    let algorithm = match hash {
        Hash::Sha256 => get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha256),
        Hash::Sha384 => get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha384),
    };
    let bits = u32::try_from(key.len() * 8).map_err(|_| CredentialError)?;
    let info = [use_and_context.concat().as_slice(), &bits.to_be_bytes()].concat();
    Ok(kbkdf_ctr_hmac(
        algorithm.ok_or(CredentialError)?,
        seed,
        &info,
        key,
    )?)
}

fn curve(kind: KeyKind) -> &'static agreement::Algorithm {
    match kind {
        KeyKind::EcdsaP384 => &ECDH_P384,
        _ => &ECDH_P256,
    }
}

fn digest_length(hash: Hash) -> usize {
    match hash {
        Hash::Sha256 => 32,
        Hash::Sha384 => 48,
    }
}

fn zeros(length: usize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(vec![0; length])
}

#[cfg(test)]
mod tests;
