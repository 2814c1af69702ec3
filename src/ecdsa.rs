//! ECDSA signatures.

use der::asn1::UintRef;
use der::{Encode as _, Sequence};

/// Ecdsa-Sig-Value, RFC 3279 section 2.2.3.
#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// The signature of these two numbers, big endian, in DER.
pub(crate) fn signature_der(r: &[u8], s: &[u8]) -> der::Result<Vec<u8>> {
    let (r, s) = (UintRef::new(r)?, UintRef::new(s)?);
    EcdsaSignature { r, s }.to_der()
}
