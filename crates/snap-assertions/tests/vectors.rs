//! Assertions that snapd made: read, written and signed byte for byte as snapd does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{VECTORS, assertion, bytes, signer, statement, text};
use snap_assertions::types::{AccountKey, HardwareIdentity, Model, Serial, SerialRequest};
use snap_assertions::{
    Assertion, Decoder, DigestForm, Encoder, KeyKind, PublicKey, SignOptions, Signer, Statement, Value,
    decode,
};

#[test]
fn fields_are_those_of_the_json() {
    for (name, _) in VECTORS {
        let given = Statement::from_json(&text(&format!("{name}.json"))).unwrap();
        let mut decoded = statement(&assertion(name));
        if given.headers.get("timestamp").is_none() {
            decoded.headers.remove("timestamp");
        }
        // snapd neither leaves out nor adds one of these headers.
        assert_eq!(sorted(&decoded.headers), sorted(&given.headers), "{name}");
        assert_eq!(decoded.body, given.body, "{name}");
    }
}

/// All values with their paths, sorted, as the format sorts and JSON does not.
fn sorted(headers: &snap_assertions::Headers) -> Vec<(String, String)> {
    fn collect(path: String, value: &Value, all: &mut Vec<(String, String)>) {
        match value {
            Value::String(text) => all.push((path, text.clone())),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    collect(format!("{path}[{index}]"), item, all);
                }
            }
            Value::Map(entries) => {
                for (name, value) in entries.iter() {
                    collect(format!("{path}.{name}"), value, all);
                }
            }
        }
    }
    let mut all = Vec::new();
    collect(String::new(), &Value::Map(headers.clone()), &mut all);
    all.sort();
    all
}

#[test]
fn encoding_gives_the_same_bytes() {
    for (name, _) in VECTORS {
        let file = text(&format!("{name}.assert"));
        assert_eq!(assertion(name).to_string(), file, "{name}");
    }
}

#[test]
fn signing_gives_the_same_bytes() {
    for (name, key) in VECTORS {
        let decoded = assertion(name);
        let options = SignOptions::at(decoded.signature().unwrap().creation_time());
        // The headers have another order in JSON.
        let mut given = Statement::from_json(&text(&format!("{name}.json"))).unwrap();
        if let (None, Some(time)) = (given.headers.get("timestamp"), decoded.header("timestamp")) {
            given.headers.set("timestamp", time).unwrap();
        }
        let signed = given.sign(&signer(key), &options).unwrap();
        assert_eq!(signed.to_string(), text(&format!("{name}.assert")), "{name}");
        assert_eq!(signed, decoded, "{name}");
    }
}

#[test]
fn signatures_verify_only_with_the_key_that_made_them() {
    for (name, key) in VECTORS {
        for other in ["issuer", "brand", "device"] {
            let public = PublicKey::decode(&text(&format!("{other}.public-key"))).unwrap();
            let result = assertion(name).verify(&public);
            assert_eq!(result.is_ok(), key == other, "{name} with {other}: {result:?}");
        }
    }
}

#[test]
fn public_keys_have_both_forms() {
    for name in ["issuer", "brand", "device"] {
        let encoded = text(&format!("{name}.public-key"));
        let key = PublicKey::decode(&encoded).unwrap();
        assert_eq!(key.encode(), encoded.trim_end(), "{name}");
        assert_eq!(&key, signer(name).public_key(), "{name}");
        let der = key.to_spki_der();
        assert_eq!(PublicKey::from_spki_der(&der).unwrap(), key, "{name}");
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let file = bytes("hardware-identity-p256.assert");
    let key = signer("issuer");
    for bit in 0..file.len() * 8 {
        refuse_flipped(&file, bit, key.public_key());
    }
}

#[test]
fn flipped_bits_are_refused_in_all_vectors() {
    for (name, key) in VECTORS {
        let file = bytes(&format!("{name}.assert"));
        let key = signer(key);
        // A prime step reaches all eight bits and all parts.
        for bit in (0..file.len() * 8).step_by(37) {
            refuse_flipped(&file, bit, key.public_key());
        }
    }
}

fn refuse_flipped(file: &[u8], bit: usize, key: &PublicKey) {
    let mut flipped = file.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    let accepted = decode(&flipped).is_ok_and(|assertion| assertion.verify(key).is_ok());
    assert!(!accepted, "bit {bit}: {}", String::from_utf8_lossy(&flipped));
}

#[test]
fn a_stream_of_all_vectors() {
    let all: Vec<Assertion> = VECTORS.map(|(name, _)| assertion(name)).into();
    let mut encoder = Encoder::new(Vec::new());
    for assertion in &all {
        encoder.write(assertion).unwrap();
    }
    let stream = encoder.into_inner();
    let decoded: Result<Vec<_>, _> = Decoder::new(&stream[..]).collect();
    assert_eq!(decoded.unwrap(), all);

    // A reader may return any number of bytes.
    for capacity in [1, 2, 3, 64, 1 << 20] {
        let reader = std::io::BufReader::with_capacity(capacity, &stream[..]);
        let decoded: Result<Vec<_>, _> = Decoder::new(reader).collect();
        assert_eq!(decoded.unwrap(), all, "{capacity}");
    }
}

#[test]
fn hardware_identities() {
    for (name, kind, key) in [
        ("hardware-identity-p256", KeyKind::EcdsaP256, "hw-p256"),
        ("hardware-identity-p384", KeyKind::EcdsaP384, "hw-p384"),
        (
            "hardware-identity-rsa2048",
            KeyKind::Rsa { bits: 2048 },
            "hw-rsa2048",
        ),
        ("hardware-identity-wrapped-key", KeyKind::EcdsaP256, "hw-p256"),
    ] {
        let assertion = assertion(name);
        let identity = HardwareIdentity::try_from(&assertion).unwrap();
        assert_eq!(identity.key().public_key().kind(), kind, "{name} has {key}");
        assert_eq!(identity.digest_form(), DigestForm::Text);
        assert_eq!(identity.issuer_id(), "acme");
        assert_eq!(Some(identity.manufacturer()), assertion.header("manufacturer"));
        assert_eq!(Some(identity.hardware_name()), assertion.header("hardware-name"));
        assert_eq!(Some(identity.hardware_id()), assertion.header("hardware-id"));
        assert_eq!(assertion.primary_key(), ["acme", identity.key_digest()]);
    }
    assert_eq!(assertion("hardware-identity-wrapped-key").revision(), 3);
}

#[test]
fn account_keys() {
    for (name, key) in [("account-key-issuer", "issuer"), ("account-key-brand", "brand")] {
        let assertion = assertion(name);
        let account_key = AccountKey::try_from(&assertion).unwrap();
        assert_eq!(account_key.public_key(), signer(key).public_key());
        assert_eq!(Some(account_key.account_id()), assertion.header("account-id"));
        assert_eq!(account_key.since().to_string(), "2024-01-01T00:00:00Z");
        assert_eq!(account_key.until().unwrap().to_string(), "2034-01-01T00:00:00Z");
        assert_eq!(account_key.name(), Some("default"));
    }
}

#[test]
fn the_assertions_of_a_device() {
    let assertion_ = assertion("model");
    let model = Model::try_from(&assertion_).unwrap();
    assert_eq!(
        (model.brand_id(), model.model(), model.series()),
        ("brand-acme", "edge-box", "16")
    );
    assert_eq!(model.architecture(), Some("amd64"));
    assert_eq!((model.base(), model.grade()), (Some("core24"), Some("signed")));
    assert_eq!(model.serial_authority(), ["brand-acme"]);
    assert!(!model.is_classic());

    let assertion_ = assertion("serial");
    let serial = Serial::try_from(&assertion_).unwrap();
    assert_eq!(serial.device_key(), signer("device").public_key());

    let assertion_ = assertion("serial-request");
    let request = SerialRequest::try_from(&assertion_).unwrap();
    assert_eq!(request.device_key(), signer("device").public_key());
    assert_eq!((request.brand_id(), request.model()), ("brand-acme", "edge-box"));
    assertion_.verify(request.device_key()).unwrap();
    // It has neither an authority nor a primary key.
    assert_eq!(assertion_.authority_id(), None);
    assert!(assertion_.primary_key().is_empty());
}
