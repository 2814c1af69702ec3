//! Checks of the simple types: for every rule, a statement that breaks only that rule, and the
//! header that the error names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{assertion, changed, expect, options, signer, statement, wrong_header};
use snap_assertions::SignError;

#[test]
fn serial_request() {
    expect(
        "serial-request",
        &[
            (r#"{"authority-id": "brand-acme"}"#, "authority-id"),
            (r#"{"brand-id": null}"#, "brand-id"),
            (r#"{"brand-id": "Any text"}"#, ""),
            (r#"{"model": null}"#, "model"),
            (r#"{"model": "Edge-box"}"#, "model"),
            (r#"{"model": "edge_box"}"#, "model"),
            (r#"{"request-id": ""}"#, "request-id"),
            (r#"{"serial": null}"#, ""),
            (r#"{"serial": ["1"]}"#, "serial"),
            (r#"{"device-key": null}"#, "device-key"),
            (r#"{"device-key": "AQ=="}"#, "device-key"),
        ],
    );
    // Signed by another key than the device key in the request.
    let request = statement(&assertion("serial-request"));
    let error = request.sign(&signer("brand"), &options()).unwrap_err();
    let SignError::Header(error) = error else {
        panic!("{error}")
    };
    assert_eq!(error.header, "sign-key-sha3-384");
}

#[test]
fn serial() {
    expect(
        "serial",
        &[
            (r#"{"brand-id": "Brand"}"#, "brand-id"),
            (r#"{"model": "UPPER"}"#, "model"),
            (r#"{"serial": "a/b"}"#, "serial"),
            (r#"{"serial": null}"#, "serial"),
            (r#"{"device-key": null}"#, "device-key"),
            (r#"{"device-key-sha3-384": null}"#, "device-key-sha3-384"),
            (r#"{"device-key-sha3-384": "A"}"#, "device-key-sha3-384"),
            (r#"{"timestamp": null}"#, "timestamp"),
            (r#"{"timestamp": "2026-01-01"}"#, "timestamp"),
        ],
    );
}

/// Changes that make an account from the vector `model`.
const ACCOUNT: &str =
    r#"{"type": "account", "account-id": "brand-acme", "display-name": "Acme", "validation": "certified"}"#;

#[test]
fn account() {
    let account = |change: &str| {
        let merged = format!(
            "{}, {}",
            ACCOUNT.trim_end_matches('}'),
            change.trim_start_matches('{')
        );
        wrong_header("model", &merged).map_err(|error| error.header)
    };
    assert_eq!(account(r#"{"username": "acme"}"#), Ok(()));
    for (change, header) in [
        (r#"{"account-id": ""}"#, "account-id"),
        (r#"{"display-name": ""}"#, "display-name"),
        (r#"{"validation": ""}"#, "validation"),
        (r#"{"timestamp": "now"}"#, "timestamp"),
        (r#"{"username": ["acme"]}"#, "username"),
    ] {
        // serde_json uses the last of two equal names.
        assert_eq!(account(change), Err(header.to_owned()), "{change}");
    }
    let statement = changed("model", ACCOUNT);
    let view = snap_assertions::types::Account::check(&statement.headers).unwrap();
    assert_eq!((view.validation(), view.username()), ("verified", None));
    assert_eq!((view.account_id(), view.display_name()), ("brand-acme", "Acme"));
    assert_eq!(view.timestamp().to_string(), "2026-01-01T00:00:00Z");
}
