//! Vectors that snapd made, the keys that signed them, and statements that differ from them.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;

use snap_assertions::{
    Assertion, DigestForm, HeaderError, LocalSigner, SignError, SignOptions, Statement, Value, decode,
};

/// Each vector and the key that signed it.
pub const VECTORS: [(&str, &str); 9] = [
    ("hardware-identity-p256", "issuer"),
    ("hardware-identity-p384", "issuer"),
    ("hardware-identity-rsa2048", "issuer"),
    ("hardware-identity-wrapped-key", "issuer"),
    ("account-key-issuer", "issuer"),
    ("account-key-brand", "brand"),
    ("model", "brand"),
    ("serial", "brand"),
    ("serial-request", "device"),
];

pub fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "vectors", name]
        .iter()
        .collect()
}

pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

pub fn text(name: &str) -> String {
    String::from_utf8(bytes(name)).unwrap()
}

pub fn assertion(name: &str) -> Assertion {
    decode(&bytes(&format!("{name}.assert"))).unwrap()
}

pub fn signer(key: &str) -> LocalSigner {
    LocalSigner::from_der(&bytes(&format!("{key}.pk8"))).unwrap()
}

/// The statement of an assertion, without the headers that signing adds.
pub fn statement(assertion: &Assertion) -> Statement {
    let mut headers = assertion.headers().clone();
    for added in ["body-length", "sign-key-sha3-384"] {
        headers.remove(added);
    }
    let body = assertion.body().to_owned();
    Statement { headers, body }
}

/// Options with a fixed time.
pub fn options() -> SignOptions {
    SignOptions::at(1_795_284_029)
}

/// The error of the vector `vector` with the change `change`: a JSON object of headers to set, or
/// to remove if the value is null.
pub fn wrong_header(vector: &str, change: &str) -> Result<(), HeaderError> {
    let changed = changed(vector, change);
    match changed.content(assertion(vector).sign_key_id(), DigestForm::Text) {
        Ok(_) => Ok(()),
        Err(SignError::Header(error)) => Err(error),
        Err(other) => panic!("{change}: {other}"),
    }
}

pub fn changed(vector: &str, change: &str) -> Statement {
    let mut statement = statement(&assertion(vector));
    let change: serde_json::Map<String, serde_json::Value> = serde_json::from_str(change).unwrap();
    for (name, value) in change {
        match (name.as_str(), value) {
            (_, serde_json::Value::Null) => drop(statement.headers.remove(&name)),
            ("body", value) => statement.body = value.as_str().unwrap().to_owned(),
            (_, value) => {
                let value: Value = serde_json::from_value(value).unwrap();
                statement.headers.set(&name, value).unwrap();
            }
        }
    }
    statement
}

/// Panics unless each change makes the header beside it wrong. An empty name means no error.
pub fn expect(vector: &str, cases: &[(&str, &str)]) {
    assert_eq!(wrong_header(vector, "{}"), Ok(()), "{vector} itself");
    for (change, header) in cases {
        match wrong_header(vector, change) {
            Ok(()) => assert_eq!("", *header, "{change} was accepted"),
            Err(error) => assert_eq!(error.header, *header, "{change}: {error}"),
        }
    }
}
