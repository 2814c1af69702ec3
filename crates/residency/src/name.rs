//! The Name of a hardware identity key (TPM 2.0 Library part 1, section 16): nameAlg, then the hash of
//! the public area. It covers every byte of the template, so its attributes too.

use identity_key::{IdentityPublicKey, KeyKind, Unique};

use crate::digest::digest;
use crate::marshal::{
    ALG_ECC, ALG_ECDSA, ALG_NULL, ALG_RSA, ALG_RSASSA, CURVE_P256, CURVE_P384, algorithm, sized,
};

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, sign: those of template version 1.
const ATTRIBUTES: u32 = 0x0004_0472;

/// The Names that a key of template version 1 with this public half can have.
///
/// There are two if a coordinate starts with a zero byte: some TPMs leave leading zeros out, and hash
/// the shorter form. There is none for an RSA key with another exponent than 65537, which the
/// template does not make.
pub fn names(key: &IdentityPublicKey) -> Vec<Vec<u8>> {
    if key.has_unusual_exponent() {
        return Vec::new();
    }
    let mut names = vec![name(key.kind(), key.unique())];
    let short = without_leading_zeros(key.unique());
    if short != *key.unique() {
        names.push(name(key.kind(), &short));
    }
    names
}

fn name(kind: KeyKind, unique: &Unique) -> Vec<u8> {
    let digest = digest(kind.hash(), &public_area(kind, unique));
    [&algorithm(kind.hash()).to_be_bytes()[..], digest.as_ref()].concat()
}

/// The TPMT_PUBLIC of a key of template version 1.
fn public_area(kind: KeyKind, unique: &Unique) -> Vec<u8> {
    let hash = algorithm(kind.hash());
    let (object, parameters) = match kind {
        // No symmetric algorithm, the scheme and its hash, the size, the exponent 0 for 65537.
        KeyKind::Rsa { bits } => (ALG_RSA, vec![ALG_NULL, ALG_RSASSA, hash, bits, 0, 0]),
        // No symmetric algorithm, the scheme and its hash, the curve, no key derivation function.
        KeyKind::EcdsaP256 => (ALG_ECC, vec![ALG_NULL, ALG_ECDSA, hash, CURVE_P256, ALG_NULL]),
        KeyKind::EcdsaP384 => (ALG_ECC, vec![ALG_NULL, ALG_ECDSA, hash, CURVE_P384, ALG_NULL]),
    };
    let mut area = [object.to_be_bytes(), hash.to_be_bytes()].concat();
    area.extend(ATTRIBUTES.to_be_bytes());
    // No policy.
    area.extend([0, 0]);
    area.extend(parameters.iter().flat_map(|word| word.to_be_bytes()));
    match unique {
        Unique::Point { x, y } => area.extend([sized(x), sized(y)].concat()),
        Unique::Modulus(modulus) => area.extend(sized(modulus)),
    }
    area
}

fn without_leading_zeros(unique: &Unique) -> Unique {
    let strip = |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().skip_while(|&byte| byte == 0).collect() };
    match unique {
        Unique::Point { x, y } => Unique::Point {
            x: strip(x),
            y: strip(y),
        },
        Unique::Modulus(modulus) => Unique::Modulus(modulus.clone()),
    }
}
