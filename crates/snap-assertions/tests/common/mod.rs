//! The vectors, which snapd itself made, and the keys that signed them.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::PathBuf;

use snap_assertions::{Assertion, LocalSigner, SignOptions, Statement, decode};

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

/// What was signed: the assertion without what signing adds.
pub fn statement(assertion: &Assertion) -> Statement {
    let mut headers = assertion.headers().clone();
    for added in ["body-length", "sign-key-sha3-384"] {
        headers.remove(added);
    }
    let body = assertion.body().to_owned();
    Statement { headers, body }
}

/// A statement like that of the vector `name`, signed at a fixed time.
pub fn options() -> SignOptions {
    SignOptions::at(1_795_284_029)
}
