//! The vectors, which real TPM commands accepted.

use serde_json::Value;

use super::*;

const VECTORS: &str = include_str!("../../tests/vectors/make-credential.json");

struct Vector(Value);

impl Vector {
    fn all() -> Vec<Vector> {
        let file: Value = serde_json::from_str(VECTORS).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        vectors.iter().cloned().map(Vector).collect()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        hex::decode(self.0[name].as_str().unwrap()).unwrap()
    }

    fn template(&self) -> EkTemplate {
        self.0["template"].as_str().unwrap().parse().unwrap()
    }

    /// The endorsement key, which is at the end of its public area.
    fn key(&self) -> IdentityPublicKey {
        let area = self.bytes("ek_public");
        let last = |length: usize, skip: usize| area[area.len() - skip - length..area.len() - skip].to_vec();
        let unique = match self.template().kind() {
            KeyKind::EcdsaP256 => Unique::Point {
                x: last(32, 34),
                y: last(32, 0),
            },
            KeyKind::EcdsaP384 => Unique::Point {
                x: last(48, 50),
                y: last(48, 0),
            },
            KeyKind::Rsa { bits } => Unique::Modulus(last(usize::from(bits) / 8, 0)),
        };
        IdentityPublicKey::of_device(self.template().kind(), unique).unwrap()
    }
}

#[test]
fn all_vectors_are_made() {
    let vectors = Vector::all();
    assert_eq!(vectors.len(), 12);
    for vector in vectors {
        let (template, name) = (vector.template(), vector.bytes("name"));
        let (seed, secret) = (vector.bytes("seed"), vector.bytes("secret"));
        let mut storage = vec![0; usize::from(template.symmetric_bits() / 8)];
        derive(template.hash(), &seed, &[STORAGE, &name], &mut storage).unwrap();
        assert_eq!(storage, vector.bytes("storage_key"));
        let made = blob(template, &seed, &name, &secret).unwrap();
        assert_eq!(made, vector.bytes("credential_blob"), "{template}");
        let credential = make_credential(template, &vector.key(), &name, &secret).unwrap();
        assert_eq!(credential.blob.len(), made.len());
        assert_eq!(
            credential.encrypted_secret.len(),
            vector.bytes("encrypted_secret").len()
        );
    }
}

#[test]
fn the_seeds_for_ecc_keys_are_agreed() {
    let vectors = Vector::all();
    let ecc = vectors
        .iter()
        .filter(|vector| vector.0["ephemeral_private"].is_string());
    assert_eq!(ecc.clone().count(), 6);
    for vector in ecc {
        let template = vector.template();
        let private =
            PrivateKey::from_private_key(curve(template.kind()), &vector.bytes("ephemeral_private")).unwrap();
        let Unique::Point { x, y } = vector.key().unique().clone() else {
            panic!("not a point")
        };
        let (seed, encrypted) = agreed_seed(template.hash(), &x, &y, &private).unwrap();
        assert_eq!(*seed, vector.bytes("seed"), "{template}");
        assert_eq!(encrypted, vector.bytes("encrypted_secret"), "{template}");
    }
}

#[test]
fn the_templates_are_those_of_the_keys() {
    for vector in Vector::all() {
        let (template, area) = (vector.template(), vector.bytes("ek_public"));
        // The sizes of the unique field differ in the high range.
        let made = template.public_area();
        let common = match template.kind() {
            KeyKind::Rsa { bits } => area.len() - usize::from(bits) / 8 - 2,
            KeyKind::EcdsaP256 => area.len() - 68,
            KeyKind::EcdsaP384 => area.len() - 100,
        };
        assert_eq!(made[..common], area[..common], "{template}");
        let unique = &made[common..];
        let is_low = template.name().starts_with('L');
        assert_eq!(
            unique.len(),
            if is_low {
                area.len() - common
            } else {
                if area[1] == 1 { 2 } else { 4 }
            }
        );
    }
}

#[test]
fn the_name_is_computed_from_the_public_key() {
    for vector in Vector::all() {
        let area = vector.bytes("identity_public");
        let (x, y) = (
            area[area.len() - 66..area.len() - 34].to_vec(),
            area[area.len() - 32..].to_vec(),
        );
        let key = IdentityPublicKey::of_device(KeyKind::EcdsaP256, Unique::Point { x, y }).unwrap();
        assert_eq!(crate::names(&key), [vector.bytes("name")]);
    }
}

#[test]
fn unusable_keys_and_secrets_are_refused() {
    let vectors = Vector::all();
    let key = |template: EkTemplate| {
        vectors
            .iter()
            .find(|vector| vector.template() == template)
            .unwrap()
            .key()
    };
    let name = vectors[0].bytes("name");
    let long = make_credential(EkTemplate::L2, &key(EkTemplate::L2), &name, &[0; 33]);
    assert_eq!(long, Err(CredentialError));
    let other_kind = make_credential(EkTemplate::L1, &key(EkTemplate::L2), &name, &[0; 32]);
    assert_eq!(other_kind, Err(CredentialError));
    let off_curve = Unique::Point {
        x: vec![1; 32],
        y: vec![1; 32],
    };
    let off_curve = IdentityPublicKey::of_device(KeyKind::EcdsaP256, off_curve).unwrap();
    assert_eq!(
        make_credential(EkTemplate::L2, &off_curve, &name, &[0; 32]),
        Err(CredentialError)
    );
}
