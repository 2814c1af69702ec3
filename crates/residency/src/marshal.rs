//! Values in the form that a TPM reads.

use identity_key::Hash;

/// TPM_ALG_ID, TPM_ECC_CURVE (TPM 2.0 Library part 2, sections 6.3 and 6.4).
pub(crate) const ALG_RSA: u16 = 0x0001;
pub(crate) const ALG_AES: u16 = 0x0006;
pub(crate) const ALG_NULL: u16 = 0x0010;
#[cfg(feature = "station")]
pub(crate) const ALG_RSASSA: u16 = 0x0014;
#[cfg(feature = "station")]
pub(crate) const ALG_ECDSA: u16 = 0x0018;
pub(crate) const ALG_ECC: u16 = 0x0023;
pub(crate) const ALG_CFB: u16 = 0x0043;
pub(crate) const CURVE_P256: u16 = 0x0003;
pub(crate) const CURVE_P384: u16 = 0x0004;

/// The TPM_ALG_ID of a hash.
pub(crate) const fn algorithm(hash: Hash) -> u16 {
    match hash {
        Hash::Sha256 => 0x000b,
        Hash::Sha384 => 0x000c,
    }
}

/// A TPM2B. All of them here are shorter than 64 KiB.
#[cfg(feature = "station")]
pub(crate) fn sized(bytes: &[u8]) -> Vec<u8> {
    let size = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&size.to_be_bytes()[..], bytes].concat()
}
