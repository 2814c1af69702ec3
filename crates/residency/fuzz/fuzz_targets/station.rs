//! A hostile device: its evidence and its answer, at a station. The evidence names the right identity.
#![no_main]

use std::sync::LazyLock;

use identity_key::{IdentityPublicKey, KeyKind, Unique};
use libfuzzer_sys::fuzz_target;
use residency::{
    Answer, BatchKey, ClaimedIdentity, EkList, EkTime, EvidenceMessage, Station, TrustedRoots, names,
};

const ID: &str = "SN-0001";

/// The identity key of the sample files.
static KEY: LazyLock<IdentityPublicKey> = LazyLock::new(|| {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/vectors/make-credential.json")).expect("the vectors");
    let area = file["vectors"][0]["identity_public"].as_str().expect("digits");
    let bytes: Vec<u8> = (0..area.len() / 2)
        .map(|i| u8::from_str_radix(&area[2 * i..2 * i + 2], 16).expect("digits"))
        .collect();
    let (x, y) = (bytes[bytes.len() - 66..bytes.len() - 34].to_vec(), bytes[bytes.len() - 32..].to_vec());
    IdentityPublicKey::of_device(KeyKind::EcdsaP256, Unique::Point { x, y }).expect("a key")
});

static STATIONS: LazyLock<[Station; 2]> = LazyLock::new(|| {
    let file = include_bytes!("../../tests/vectors/swtpm-ca-issuer.pem");
    let roots = TrustedRoots::read_file(file).expect("a certificate");
    let roots = TrustedRoots::new(&roots).expect("a root");
    let list = EkList::read(b"08\n").expect("a list");
    let key = || BatchKey::from_bytes(&[1; 32]).expect("a key");
    [
        Station::new(key(), Some(roots), None, EkTime::Issued),
        Station::new(key(), None, Some(list), EkTime::Issued),
    ]
});

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    let identity = ClaimedIdentity { hardware_id: ID, key: &KEY };
    let Ok(mut message) = EvidenceMessage::read(&data[..end]) else {
        return;
    };
    message.hardware_id = ID.to_owned();
    message.key_name = names(&KEY).remove(0);
    for station in STATIONS.iter() {
        let Ok(evidence) = station.verify(identity, &message) else {
            continue;
        };
        let _ = station.challenge(identity, &evidence);
        if let Ok(answer) = Answer::read(data.get(end + 1..).unwrap_or_default()) {
            // The secret is not in the input.
            assert!(station.check(identity, &evidence, &answer).is_err());
        }
    }
});
