//! The templates of endorsement keys (TCG EK Credential Profile for TPM Family 2.0, version 2.5,
//! annex B).

use std::fmt;
use std::str::FromStr;

use identity_key::{Hash, KeyKind};
use miette::Diagnostic;
use thiserror::Error;

use crate::marshal::{ALG_AES, ALG_CFB, ALG_ECC, ALG_NULL, ALG_RSA, CURVE_P256, CURVE_P384, algorithm};

/// PolicyA with SHA-256: TPM2_PolicySecret(endorsement) (annex B.6.2).
const POLICY_A_SHA256: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd,
    0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];
/// PolicyB with SHA-256: PolicyA or TPM2_PolicyAuthorizeNV (annex B.6.4).
const POLICY_B_SHA256: [u8; 32] = [
    0xca, 0x3d, 0x0a, 0x99, 0xa2, 0xb9, 0x39, 0x06, 0xf7, 0xa3, 0x34, 0x24, 0x14, 0xef, 0xcf, 0xb3, 0xa3,
    0x85, 0xd4, 0x4c, 0xd1, 0xfd, 0x45, 0x90, 0x89, 0xd1, 0x9b, 0x50, 0x71, 0xc0, 0xb7, 0xa0,
];
/// PolicyB with SHA-384 (annex B.6.4).
const POLICY_B_SHA384: [u8; 48] = [
    0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a, 0x07,
    0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca, 0xcb, 0x47,
    0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12,
];
/// fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, restricted, decrypt.
const LOW_ATTRIBUTES: u32 = 0x0003_00b2;
/// The same and userWithAuth.
const HIGH_ATTRIBUTES: u32 = 0x0003_00f2;

/// A template of an endorsement key, under the name that the TCG gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EkTemplate {
    /// RSA-2048, low range.
    L1,
    /// P-256, low range.
    L2,
    /// RSA-2048, high range.
    H1,
    /// P-256, high range.
    H2,
    /// P-384, high range.
    H3,
    /// RSA-3072, high range.
    H6,
}

/// The name is not that of a template.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[error("`{0}` is not a template of endorsement keys")]
#[diagnostic(code("ek-template-unknown"), help("Use L-1, L-2, H-1, H-2, H-3 or H-6"))]
pub struct UnknownTemplate(pub String);

impl EkTemplate {
    /// All templates. Those of ECC keys come first: many chips derive an RSA key slowly. The low
    /// range comes before the high one, since a dictionary attack lockout does not affect it.
    pub const BY_PREFERENCE: [EkTemplate; 6] = [
        EkTemplate::L2,
        EkTemplate::H2,
        EkTemplate::H3,
        EkTemplate::L1,
        EkTemplate::H1,
        EkTemplate::H6,
    ];

    /// The TCG's name, such as `L-1`.
    pub const fn name(self) -> &'static str {
        match self {
            EkTemplate::L1 => "L-1",
            EkTemplate::L2 => "L-2",
            EkTemplate::H1 => "H-1",
            EkTemplate::H2 => "H-2",
            EkTemplate::H3 => "H-3",
            EkTemplate::H6 => "H-6",
        }
    }

    /// The NV index of the key's certificate (section 2.2.1.4 and 2.2.1.5).
    pub const fn nv_index(self) -> u32 {
        match self {
            EkTemplate::L1 => 0x01c0_0002,
            EkTemplate::L2 => 0x01c0_000a,
            EkTemplate::H1 => 0x01c0_0012,
            EkTemplate::H2 => 0x01c0_0014,
            EkTemplate::H3 => 0x01c0_0016,
            EkTemplate::H6 => 0x01c0_001c,
        }
    }

    /// The kind of the key.
    pub const fn kind(self) -> KeyKind {
        match self {
            EkTemplate::L1 | EkTemplate::H1 => KeyKind::RSA_2048,
            EkTemplate::L2 | EkTemplate::H2 => KeyKind::EcdsaP256,
            EkTemplate::H3 => KeyKind::EcdsaP384,
            EkTemplate::H6 => KeyKind::RSA_3072,
        }
    }

    /// The key's nameAlg.
    pub const fn hash(self) -> Hash {
        match self {
            EkTemplate::L1 | EkTemplate::L2 | EkTemplate::H1 | EkTemplate::H2 => Hash::Sha256,
            EkTemplate::H3 | EkTemplate::H6 => Hash::Sha384,
        }
    }

    /// The bits of the key's symmetric algorithm, AES in CFB mode.
    pub const fn symmetric_bits(self) -> u16 {
        match self.hash() {
            Hash::Sha256 => 128,
            Hash::Sha384 => 256,
        }
    }

    /// Returns true for the low range, whose keys demand TPM2_PolicySecret; an empty password is enough
    /// for the others.
    const fn is_low(self) -> bool {
        matches!(self, EkTemplate::L1 | EkTemplate::L2)
    }

    /// The TPMT_PUBLIC for TPM2_CreatePrimary.
    pub fn public_area(self) -> Vec<u8> {
        let mut area = self.public_area_before_unique();
        // Zeros of the key's size in the low range, nothing in the high range.
        let zeros = |bytes: u16| match self.is_low() {
            true => [&bytes.to_be_bytes()[..], &vec![0; usize::from(bytes)]].concat(),
            false => vec![0, 0],
        };
        match self.kind() {
            KeyKind::Rsa { bits } => area.extend(zeros(bits / 8)),
            KeyKind::EcdsaP256 => area.extend(zeros(32).repeat(2)),
            KeyKind::EcdsaP384 => area.extend(zeros(48).repeat(2)),
        }
        area
    }

    /// The TPMT_PUBLIC up to its last field, which distinguishes the keys of a template.
    fn public_area_before_unique(self) -> Vec<u8> {
        let object = match self.kind() {
            KeyKind::Rsa { .. } => ALG_RSA,
            _ => ALG_ECC,
        };
        let policy = self.policy();
        let mut area = Vec::new();
        let mut put = |word: u16| area.extend(word.to_be_bytes());
        put(object);
        put(algorithm(self.hash()));
        area.extend(self.attributes().to_be_bytes());
        area.extend([0, policy.len() as u8]);
        area.extend(policy);
        let mut put = |word: u16| area.extend(word.to_be_bytes());
        [ALG_AES, self.symmetric_bits(), ALG_CFB]
            .into_iter()
            .for_each(&mut put);
        match self.kind() {
            // No scheme; the exponent 0 means 65537.
            KeyKind::Rsa { bits } => [ALG_NULL, bits, 0, 0].into_iter().for_each(put),
            // No scheme and no key derivation function.
            KeyKind::EcdsaP256 => [ALG_NULL, CURVE_P256, ALG_NULL].into_iter().for_each(put),
            KeyKind::EcdsaP384 => [ALG_NULL, CURVE_P384, ALG_NULL].into_iter().for_each(put),
        }
        area
    }

    const fn attributes(self) -> u32 {
        match self.is_low() {
            true => LOW_ATTRIBUTES,
            false => HIGH_ATTRIBUTES,
        }
    }

    const fn policy(self) -> &'static [u8] {
        match (self.is_low(), self.hash()) {
            (true, _) => &POLICY_A_SHA256,
            (false, Hash::Sha256) => &POLICY_B_SHA256,
            (false, Hash::Sha384) => &POLICY_B_SHA384,
        }
    }
}

impl fmt::Display for EkTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for EkTemplate {
    type Err = UnknownTemplate;

    /// Reads a name as [`EkTemplate::name`] gives it.
    fn from_str(name: &str) -> Result<Self, UnknownTemplate> {
        EkTemplate::BY_PREFERENCE
            .into_iter()
            .find(|template| template.name() == name)
            .ok_or_else(|| UnknownTemplate(name.to_owned()))
    }
}
