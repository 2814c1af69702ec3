//! The template of the hardware identity key, version 1.
//!
//! The key is a primary key, so the template and the endorsement seed alone determine it. A change
//! of any byte of a template changes the identity of every device that uses it. A version never
//! changes; a later version is added beside it.

use identity_key::{Hash, IdentityPublicKey, KeyKind, Unique};
use tss_esapi::attributes::{ObjectAttributes, ObjectAttributesBuilder};
use tss_esapi::constants::tss::{TPM2_ALG_SHA256, TPM2_ALG_SHA384};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::structures::{
    Digest, EccParameter, EccPoint, EccScheme, HashScheme, KeyDerivationFunctionScheme, Name, Public,
    PublicBuilder, PublicEccParameters, PublicKeyRsa, PublicParameters, PublicRsaParameters, RsaExponent,
    RsaScheme, SymmetricDefinitionObject,
};
use tss_esapi::traits::Marshall;

/// Makes the key different from every other key derived from the same seed, such as the TCG's
/// IDevID.
const UNIQUE: &[u8] = b"hardware-identity";
/// TPM_RH_ENDORSEMENT (TPM 2.0 Library part 2, section 7.4), the parent in the key's qualified
/// Name.
const ENDORSEMENT: [u8; 4] = [0x40, 0x00, 0x00, 0x0B];

type Result<T> = std::result::Result<T, tss_esapi::Error>;

/// The template of a key of this kind.
pub(super) fn template(algorithm: KeyKind) -> Result<Public> {
    let unique = match curve(algorithm) {
        Some(_) => Unique::Point {
            x: UNIQUE.to_vec(),
            y: UNIQUE.to_vec(),
        },
        None => Unique::Modulus(UNIQUE.to_vec()),
    };
    public_area(algorithm, &unique)
}

/// The parameters for TPM2_TestParms, which tells whether a TPM supports them.
pub(super) fn parameters(algorithm: KeyKind) -> PublicParameters {
    match curve(algorithm) {
        Some(curve) => PublicParameters::Ecc(ecc_parameters(algorithm, curve)),
        None => PublicParameters::Rsa(rsa_parameters(algorithm)),
    }
}

/// The public key in a public area, `None` if the area is not one of this template.
pub(super) fn recognise(public: &Public) -> Option<IdentityPublicKey> {
    let unique = unique(public)?;
    let area = public.marshall().ok()?;
    // Comparing encodings compares every field: attributes, hashes, schemes, policy.
    let algorithm = KeyKind::OF_DEVICES
        .into_iter()
        .find(|&algorithm| marshalled(algorithm, &unique).is_ok_and(|ours| ours == area))?;
    IdentityPublicKey::of_device(algorithm, unique).ok()
}

/// What distinguishes a key from others of its template, `None` if it is not an asymmetric key.
pub(super) fn unique(public: &Public) -> Option<Unique> {
    match public {
        Public::Ecc { unique, .. } => Some(Unique::Point {
            x: unique.x().value().to_vec(),
            y: unique.y().value().to_vec(),
        }),
        Public::Rsa { unique, .. } => Some(Unique::Modulus(unique.value().to_vec())),
        Public::KeyedHash { .. } | Public::SymCipher { .. } => None,
    }
}

/// The public key of an object, `None` if the object does not have this template or is not a
/// primary key of the endorsement hierarchy.
pub(super) fn identity_key(public: &Public, name: &Name, qualified: &Name) -> Option<IdentityPublicKey> {
    recognise(public).filter(|key| is_endorsement_primary(key.kind(), name.value(), qualified.value()))
}

/// Returns true if `name` is the Name (TPM 2.0 Library part 1, section 16) of this template's key
/// with this public half.
pub(crate) fn is_name_of(name: &[u8], key: &IdentityPublicKey) -> bool {
    // Some TPMs leave out leading zeros of coordinates, and hash the shorter form.
    [key.unique().clone(), without_leading_zeros(key.unique())]
        .iter()
        .any(|unique| {
            marshalled(key.kind(), unique).is_ok_and(|area| hashed(key.kind().hash(), &area) == name)
        })
}

/// Returns true if the qualified Name is that of a primary key with this Name in the endorsement
/// hierarchy.
fn is_endorsement_primary(algorithm: KeyKind, name: &[u8], qualified: &[u8]) -> bool {
    hashed(algorithm.hash(), &[&ENDORSEMENT, name].concat()) == qualified
}

fn marshalled(algorithm: KeyKind, unique: &Unique) -> Result<Vec<u8>> {
    public_area(algorithm, unique)?.marshall()
}

fn public_area(algorithm: KeyKind, unique: &Unique) -> Result<Public> {
    let builder = PublicBuilder::new()
        .with_object_attributes(attributes()?)
        .with_name_hashing_algorithm(hashing(algorithm))
        .with_auth_policy(Digest::default());
    match (curve(algorithm), unique) {
        (Some(curve), Unique::Point { x, y }) => builder
            .with_public_algorithm(PublicAlgorithm::Ecc)
            .with_ecc_parameters(ecc_parameters(algorithm, curve))
            .with_ecc_unique_identifier(EccPoint::new(
                EccParameter::try_from(x.as_slice())?,
                EccParameter::try_from(y.as_slice())?,
            ))
            .build(),
        (None, Unique::Modulus(modulus)) => builder
            .with_public_algorithm(PublicAlgorithm::Rsa)
            .with_rsa_parameters(rsa_parameters(algorithm))
            .with_rsa_unique_identifier(PublicKeyRsa::try_from(modulus.as_slice())?)
            .build(),
        _ => Err(tss_esapi::Error::WrapperError(
            tss_esapi::WrapperErrorKind::InconsistentParams,
        )),
    }
}

/// 0x00040472. Not restricted, because it signs digests made outside the TPM. noDA, so that a
/// dictionary attack lockout, which a few unclean shutdowns cause, does not stop a registration.
fn attributes() -> Result<ObjectAttributes> {
    ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_sign_encrypt(true)
        .build()
}

fn curve(algorithm: KeyKind) -> Option<EccCurve> {
    match algorithm {
        KeyKind::EcdsaP256 => Some(EccCurve::NistP256),
        KeyKind::EcdsaP384 => Some(EccCurve::NistP384),
        KeyKind::Rsa { .. } => None,
    }
}

fn ecc_parameters(algorithm: KeyKind, curve: EccCurve) -> PublicEccParameters {
    PublicEccParameters::new(
        SymmetricDefinitionObject::Null,
        EccScheme::EcDsa(HashScheme::new(hashing(algorithm))),
        curve,
        KeyDerivationFunctionScheme::Null,
    )
}

fn rsa_parameters(algorithm: KeyKind) -> PublicRsaParameters {
    let bits = match algorithm {
        KeyKind::RSA_3072 => RsaKeyBits::Rsa3072,
        _ => RsaKeyBits::Rsa2048,
    };
    PublicRsaParameters::new(
        SymmetricDefinitionObject::Null,
        RsaScheme::RsaSsa(HashScheme::new(hashing(algorithm))),
        bits,
        // 0, which means 65537.
        RsaExponent::default(),
    )
}

fn hashing(algorithm: KeyKind) -> HashingAlgorithm {
    match algorithm.hash() {
        Hash::Sha256 => HashingAlgorithm::Sha256,
        Hash::Sha384 => HashingAlgorithm::Sha384,
    }
}

/// The form of Names and qualified Names: nameAlg in two bytes, then the digest.
fn hashed(hash: Hash, bytes: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha256 => TPM2_ALG_SHA256,
        Hash::Sha384 => TPM2_ALG_SHA384,
    };
    [algorithm.to_be_bytes().to_vec(), hash.digest(bytes)].concat()
}

fn without_leading_zeros(unique: &Unique) -> Unique {
    let strip = |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().skip_while(|&b| b == 0).collect() };
    match unique {
        Unique::Point { x, y } => Unique::Point {
            x: strip(x),
            y: strip(y),
        },
        Unique::Modulus(modulus) => Unique::Modulus(strip(modulus)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// `hardware-identity` as TPM2B, with its size in front.
    const UNIQUE_HEX: &str = "001168617264776172652d6964656e74697479";

    #[test]
    fn template_version_1_never_changes() {
        // Written by hand from the structures in TPM 2.0 Library part 2, not by this code.
        for (algorithm, expected) in [
            (
                KeyKind::EcdsaP256,
                format!("0023000b000404720000001000180 00b00030010{UNIQUE_HEX}{UNIQUE_HEX}"),
            ),
            (
                KeyKind::EcdsaP384,
                format!("0023000c000404720000001000180 00c00040010{UNIQUE_HEX}{UNIQUE_HEX}"),
            ),
            (
                KeyKind::RSA_2048,
                format!("0001000b0004047200000010001400 0b080000000000{UNIQUE_HEX}"),
            ),
            (
                KeyKind::RSA_3072,
                format!("0001000b0004047200000010001400 0b0c0000000000{UNIQUE_HEX}"),
            ),
        ] {
            let area = template(algorithm).unwrap().marshall().unwrap();
            assert_eq!(hex(&area), expected.replace(' ', ""), "{algorithm}");
        }
    }

    /// The issuer's station computes Names without a TPM.
    #[test]
    fn the_station_computes_the_same_names() {
        for (kind, length) in [
            (KeyKind::EcdsaP256, 32),
            (KeyKind::EcdsaP384, 48),
            (KeyKind::RSA_2048, 256),
            (KeyKind::RSA_3072, 384),
        ] {
            for first in [0x81, 0x00] {
                let mut x = vec![0x81; length];
                x[0] = first;
                let unique = match kind {
                    KeyKind::Rsa { .. } => Unique::Modulus(vec![0x81; length]),
                    _ => Unique::Point {
                        x,
                        y: vec![2; length],
                    },
                };
                let key = IdentityPublicKey::of_device(kind, unique).unwrap();
                let names = residency::names(&key);
                assert!(names.iter().all(|name| is_name_of(name, &key)), "{kind}");
            }
        }
    }

    #[test]
    fn another_attribute_or_kind_is_not_recognised() {
        let x = Unique::Point {
            x: vec![1; 32],
            y: vec![2; 32],
        };
        let ours = public_area(KeyKind::EcdsaP256, &x).unwrap();
        assert!(recognise(&ours).is_some());
        let Public::Ecc {
            name_hashing_algorithm,
            auth_policy,
            parameters,
            unique,
            ..
        } = ours
        else {
            panic!("not an ECC key")
        };
        let restricted = Public::Ecc {
            object_attributes: ObjectAttributesBuilder::new()
                .with_sign_encrypt(true)
                .with_restricted(true)
                .build()
                .unwrap(),
            name_hashing_algorithm,
            auth_policy,
            parameters,
            unique,
        };
        assert!(recognise(&restricted).is_none());
    }

    #[test]
    fn names_of_a_tpm_that_strips_zeros_are_known() {
        let mut x = vec![0; 32];
        x[5] = 1;
        let unique = Unique::Point { x, y: vec![2; 32] };
        let key = IdentityPublicKey::of_device(KeyKind::EcdsaP256, unique.clone()).unwrap();
        for unique in [unique.clone(), without_leading_zeros(&unique)] {
            let name = hashed(Hash::Sha256, &marshalled(KeyKind::EcdsaP256, &unique).unwrap());
            assert!(is_name_of(&name, &key));
        }
        assert!(!is_name_of(&[0, 0x0b], &key));
    }
}
