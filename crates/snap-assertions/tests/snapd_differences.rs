//! Assertions about which this library and snapd 2.77.1 differed: what is as in snapd now, and what
//! differs on purpose. The crate's documentation lists the latter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{bytes, changed, options, signer};
use jiff::Timestamp;
use miette::Diagnostic;
use snap_assertions::types::{Account, AccountKey, HardwareIdentity, Model, Serial};
use snap_assertions::{Assertion, decode};

fn code(error: impl Diagnostic) -> String {
    error.code().unwrap().to_string()
}

/// The directory is named for the release of snapd.
fn case(file: &str) -> Vec<u8> {
    bytes(&format!("../snapd-2.77.1/{file}"))
}

/// Decodes, checks and verifies the assertion of a case; the code of the first error.
fn outcome(name: &str) -> Result<(), String> {
    let assertion = decode(&case(&format!("{name}.assert"))).map_err(code)?;
    let checked = match assertion.kind().name() {
        "account" => Account::try_from(&assertion).map(drop),
        "hardware-identity" => HardwareIdentity::try_from(&assertion).map(drop),
        "model" => Model::try_from(&assertion).map(drop),
        "serial" => Serial::try_from(&assertion).map(drop),
        other => panic!("{other}"),
    };
    checked.map_err(code)?;
    if !name.starts_with("regex-") {
        let known = [signer("issuer"), signer("brand")];
        let key = known
            .iter()
            .map(snap_assertions::Signer::public_key)
            .find(|key| key.id() == assertion.sign_key_id());
        return assertion.verify(key.unwrap()).map_err(code);
    }
    let key = decode(&case(&format!("{name}.account-key"))).unwrap();
    let key = AccountKey::try_from(&key).map_err(code)?;
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    key.verify(&assertion, now).map_err(code)
}

#[test]
fn refused_as_by_snapd_2_77_1() {
    for (name, expected) in [
        ("der-digest", "digest-form-wrong"),
        ("key-exponent-leading-zero", "public-key-exponent-unsupported"),
        ("regex-digit", "key-constrained"),
        ("regex-rust-only", "constraint-not-regex"),
        ("regex-set-operations", "key-constrained"),
        ("regex-unicode-classes", "key-constrained"),
        ("regex-word-anchor", "key-constrained"),
        ("subpacket-embedded", "packet-subpacket-wrong"),
        ("subpacket-issuer-len", "packet-subpacket-wrong"),
        ("subpacket-key-expiry", "packet-subpacket-wrong"),
        ("subpacket-key-flags", "packet-subpacket-wrong"),
        ("subpacket-primary-uid", "packet-subpacket-wrong"),
        ("subpacket-sig-expiry", "packet-subpacket-wrong"),
        ("timestamp-offset-25", "header-not-timestamp"),
    ] {
        assert_eq!(outcome(name), Err(expected.to_owned()), "{name}");
    }
}

#[test]
fn accepted_as_by_snapd_2_77_1() {
    for name in [
        "regex-go-only",
        "timestamp-comma",
        "timestamp-hour-1-digit",
        "timestamp-offset-60-minutes",
        "timestamp-ten-digits",
    ] {
        assert_eq!(outcome(name), Ok(()), "{name}");
    }
}

/// What snapd 2.77.1 accepts.
#[test]
fn refused_on_purpose() {
    for (name, expected) in [
        ("hwkey-ed25519", "key-kind-unsupported"),
        ("hwkey-p521", "key-kind-unsupported"),
        ("hwkey-pem-headers", "key-not-base64"),
        ("model-base-snapd", "model-base-missing"),
        ("sig-non-utf8", "stream-not-utf8"),
        ("sig-sha256", "packet-unsupported"),
        ("sig-type-1", "packet-unsupported"),
    ] {
        assert_eq!(outcome(name), Err(expected.to_owned()), "{name}");
    }
}

fn key_until(until: &str) -> AccountKey {
    let change = serde_json::json!({ "until": until }).to_string();
    let signed: Assertion = changed("account-key-issuer", &change)
        .sign(&signer("issuer"), &options())
        .unwrap();
    AccountKey::try_from(&signed).unwrap()
}

/// The store writes such an end; jiff's last moment is a day earlier.
#[test]
fn an_account_key_is_valid_until_the_end_of_9999() {
    let key = key_until("9999-12-31T23:59:59Z");
    assert_eq!(key.until(), Some(Timestamp::MAX));
    assert!(key.is_valid_at("9999-12-30T00:00:00Z".parse().unwrap()));
    assert!(!key.is_valid_at("2023-12-31T23:59:59Z".parse().unwrap()));
}

/// For snapd 2.77.1 Go's zero time is no end, in every offset.
#[test]
fn the_zero_time_is_no_end() {
    for until in ["0001-01-01T00:00:00Z", "0001-01-01T02:00:00+02:00"] {
        let key = key_until(until);
        assert_eq!(key.until(), None, "{until}");
        assert!(key.is_valid_at(Timestamp::MAX));
    }
}
