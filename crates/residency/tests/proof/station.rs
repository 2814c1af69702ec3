//! The checks in order, up to the proof itself, which only a TPM can make: the tests of the program
//! have software TPMs.

use identity_key::{IdentityPublicKey, KeyKind, Unique};
use residency::{
    Answer, AnswerError, BatchKey, ClaimedIdentity, EkEvidence, EkList, EkTemplate, Evidence, EvidenceError,
    EvidenceMessage, NotListed, Station, TrustedRoots, VerificationError, answer_proof, names,
};
use serde_json::Value;

use crate::{now, text, vector};

fn roots() -> TrustedRoots {
    let read = |name| TrustedRoots::read_file(&vector(name)).unwrap();
    TrustedRoots::new(&[read("swtpm-ca-root.pem"), read("swtpm-ca-issuer.pem")].concat()).unwrap()
}

fn station(roots: Option<TrustedRoots>, list: Option<&str>) -> Station {
    let list = list.map(|list| EkList::read(list.as_bytes()).unwrap());
    Station::new(BatchKey::from_bytes(&[7; 32]).unwrap(), roots, list, now())
}

/// The identity key of the sample files.
fn key() -> IdentityPublicKey {
    let file: Value = serde_json::from_str(&text("make-credential.json")).unwrap();
    let area = hex::decode(file["vectors"][0]["identity_public"].as_str().unwrap()).unwrap();
    let (x, y) = (
        area[area.len() - 66..area.len() - 34].to_vec(),
        area[area.len() - 32..].to_vec(),
    );
    IdentityPublicKey::of_device(KeyKind::EcdsaP256, Unique::Point { x, y }).unwrap()
}

fn sample(template: &str) -> EvidenceMessage {
    EvidenceMessage::read(text(&format!("{template}.evidence.json")).as_bytes()).unwrap()
}

fn ek(message: &mut EvidenceMessage) -> &mut EkEvidence {
    let Evidence::Endorsement { keys, .. } = &mut message.evidence else {
        panic!("another kind")
    };
    &mut keys[0]
}

const ID: &str = "SN-0001";

fn verify(station: &Station, message: &EvidenceMessage) -> Result<EkTemplate, EvidenceError> {
    let key = key();
    let identity = ClaimedIdentity {
        hardware_id: ID,
        key: &key,
    };
    station
        .verify(identity, message)
        .map(|evidence| evidence.template)
}

/// SHA-256 of the key in an EK certificate.
fn digest(name: &str) -> String {
    let certificate = residency::EkCertificate::read(&vector(name)).unwrap();
    hex::encode(identity_key::Hash::Sha256.digest(certificate.public_key().der()))
}

#[test]
fn the_samples_pass_and_are_challenged() {
    let (station, key) = (station(Some(roots()), None), key());
    let identity = ClaimedIdentity {
        hardware_id: ID,
        key: &key,
    };
    for template in ["L-1", "L-2", "H-3"] {
        let evidence = station.verify(identity, &sample(template)).unwrap();
        let challenge = station.challenge(identity, &evidence).unwrap();
        let expected =
            residency::Challenge::read(text(&format!("{template}.challenge.json")).as_bytes()).unwrap();
        assert_eq!(challenge.key_name, expected.key_name);
        assert_eq!(challenge.template, expected.template);
        assert_eq!(challenge.credential_blob.len(), expected.credential_blob.len());
        assert_eq!(challenge.encrypted_secret.len(), expected.encrypted_secret.len());
    }
}

#[test]
fn evidence_of_another_device_or_key_is_refused() {
    let station = station(Some(roots()), None);
    let mut other = sample("L-2");
    other.hardware_id = "SN-0002".to_owned();
    assert!(matches!(
        verify(&station, &other),
        Err(EvidenceError::HardwareId { .. })
    ));
    let mut other = sample("L-2");
    other.key_name[9] ^= 1;
    assert_eq!(verify(&station, &other), Err(EvidenceError::Name));
    // The Name of the same key with other attributes, 0x40440: what a software key can have.
    let file: Value = serde_json::from_str(&text("make-credential.json")).unwrap();
    let mut area = hex::decode(file["vectors"][0]["identity_public"].as_str().unwrap()).unwrap();
    area[7] = 0x40;
    let mut other = sample("L-2");
    other.key_name = [&[0, 11][..], &identity_key::Hash::Sha256.digest(&area)].concat();
    assert_eq!(verify(&station, &other), Err(EvidenceError::Name));
}

#[test]
fn endorsement_keys_are_checked() {
    let station = station(Some(roots()), None);
    let mut none = sample("L-2");
    none.evidence = Evidence::Endorsement {
        keys: vec![],
        chain: vec![],
    };
    assert_eq!(verify(&station, &none), Err(EvidenceError::NoKey));
    let mut many = sample("L-2");
    let entry = ek(&mut many).clone();
    many.evidence = Evidence::Endorsement {
        keys: vec![entry; 9],
        chain: vec![],
    };
    assert!(matches!(
        verify(&station, &many),
        Err(EvidenceError::TooMuch { .. })
    ));
    let mut kind = sample("L-2");
    ek(&mut kind).template = EkTemplate::L1;
    assert!(matches!(verify(&station, &kind), Err(EvidenceError::Kind { .. })));
    let mut unknown = sample("L-2");
    ek(&mut unknown).certificate = Some(vector("unknown-ca-L-2.der"));
    let untrusted = EvidenceError::Verification(VerificationError::Untrusted);
    assert_eq!(verify(&station, &unknown), Err(untrusted.clone()));
    let mut malformed = sample("L-2");
    ek(&mut malformed).certificate = Some(vec![0xff; 20]);
    assert!(matches!(
        verify(&station, &malformed),
        Err(EvidenceError::Certificate(_))
    ));
    // A second key may pass if the preferred one does not.
    let mut both = unknown.clone();
    let good = ek(&mut sample("L-1")).clone();
    if let Evidence::Endorsement { keys, .. } = &mut both.evidence {
        keys.insert(0, good);
    }
    assert_eq!(verify(&station, &both), Ok(EkTemplate::L1));
}

#[test]
fn a_list_ties_a_key_to_a_device() {
    let listed = digest("ek-L-2.der");
    let check =
        |with_roots: bool, list: &str| verify(&station(with_roots.then(roots), Some(list)), &sample("L-2"));
    for with_roots in [true, false] {
        for id in ["", ",SN-0001"] {
            assert_eq!(check(with_roots, &format!("{listed}{id}\n")), Ok(EkTemplate::L2));
        }
        let other = check(with_roots, &format!("{listed},SN-0002\n"));
        assert!(matches!(
            other,
            Err(EvidenceError::List(NotListed::OtherDevice { .. }))
        ));
        let missing = check(with_roots, &format!("{},SN-0001\n", digest("ek-L-1.der")));
        assert!(matches!(
            missing,
            Err(EvidenceError::List(NotListed::Missing { .. }))
        ));
    }
    // The serial number of the certificate, which counts only if the certificate is verified.
    assert_eq!(check(true, "08,SN-0001\n"), Ok(EkTemplate::L2));
    assert!(matches!(
        check(false, "08,SN-0001\n"),
        Err(EvidenceError::List(NotListed::Missing { .. }))
    ));
}

#[test]
fn a_key_without_certificate_needs_the_list() {
    let certificate = residency::EkCertificate::read(&vector("ek-L-2.der")).unwrap();
    let mut message = sample("L-2");
    ek(&mut message).certificate = None;
    assert_eq!(
        verify(&station(Some(roots()), None), &message),
        Err(EvidenceError::NoKey)
    );
    ek(&mut message).public_key = Some(certificate.public_key().der().to_vec());
    assert_eq!(
        verify(&station(Some(roots()), None), &message),
        Err(EvidenceError::NoCertificate)
    );
    assert_eq!(
        verify(&station(None, None), &message),
        Err(EvidenceError::NoTrust)
    );
    assert_eq!(
        verify(&station(None, None), &sample("L-2")),
        Err(EvidenceError::NoTrust)
    );
    let list = digest("ek-L-2.der");
    assert_eq!(
        verify(&station(Some(roots()), Some(&list)), &message),
        Ok(EkTemplate::L2)
    );
    assert_eq!(verify(&station(None, Some(&list)), &message), Ok(EkTemplate::L2));
}

#[test]
fn answers_are_checked() {
    let (station, key) = (station(Some(roots()), None), key());
    let identity = ClaimedIdentity {
        hardware_id: ID,
        key: &key,
    };
    let evidence = station.verify(identity, &sample("L-2")).unwrap();
    let batch = station.challenge(identity, &evidence).unwrap().batch;
    let answer = Answer {
        hardware_id: ID.to_owned(),
        key_name: names(&key).remove(0),
        proof: answer_proof(&[0; 32], &evidence.key_name, ID),
        batch,
    };
    let check = |change: fn(&mut Answer)| {
        let mut answer = answer.clone();
        change(&mut answer);
        station.check(identity, &evidence, &answer)
    };
    assert!(matches!(
        check(|a| a.hardware_id = "SN-0002".to_owned()),
        Err(AnswerError::HardwareId { .. })
    ));
    assert_eq!(check(|a| a.key_name[5] ^= 1), Err(AnswerError::Name));
    assert_eq!(check(|a| a.batch = Some("0".to_owned())), Err(AnswerError::Batch));
    assert_eq!(check(|_| ()), Err(AnswerError::Proof));
    assert_eq!(check(|a| a.proof.clear()), Err(AnswerError::Proof));
}

/// The template makes keys with the exponent 65537 only. Another one does not show in the modulus.
#[test]
fn a_key_with_another_exponent_has_no_name() {
    let key = IdentityPublicKey::of_device(KeyKind::RSA_2048, Unique::Modulus(vec![0xc1; 256])).unwrap();
    assert_eq!(names(&key).len(), 1);
    let mut der = key.der().to_vec();
    *der.last_mut().unwrap() = 3;
    let other = IdentityPublicKey::from_der(&der).unwrap();
    assert_eq!(other.unique(), key.unique());
    assert!(names(&other).is_empty());
    let mut message = sample("L-2");
    message.key_name = names(&key).remove(0);
    let identity = ClaimedIdentity {
        hardware_id: ID,
        key: &other,
    };
    let verified = station(Some(roots()), None).verify(identity, &message);
    assert_eq!(verified, Err(EvidenceError::Name));
}

/// Secrets differ by batch, key and hardware id: what one answer proves is not worth anything elsewhere.
/// Only the software TPMs of the program's tests can answer.
#[test]
fn the_names_of_batches_differ() {
    let ids: Vec<_> = (0..2).map(|_| BatchKey::generate().unwrap().id()).collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(
        BatchKey::from_bytes(&[1; 32]).unwrap().id(),
        BatchKey::from_bytes(&[1; 32]).unwrap().id()
    );
    assert!(BatchKey::from_bytes(&[1; 31]).is_none());
}
