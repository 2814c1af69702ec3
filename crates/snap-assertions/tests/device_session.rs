//! Requests for sessions: the checks of the type, and of a request with its serial and model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{assertion, options, signer, statement};
use jiff::Timestamp;
use serde_json::{Value, json};
use snap_assertions::types::{AccountKey, DeviceSessionRequest};
use snap_assertions::{Assertion, DeviceSession, DeviceSessionError, DigestForm, Statement, decode};

const NOW: &str = "2026-11-21T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A statement of a request of the device of the vectors, with changes; null removes a header.
fn request_with(changes: Value) -> Statement {
    let mut headers = json!({
        "type": "device-session-request", "brand-id": "brand-acme", "model": "edge-box", "serial": "EB2-0653",
        "nonce": "NONCE-1", "timestamp": NOW,
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(headers.as_object_mut().unwrap().remove(name)),
            value => headers[name] = value.clone(),
        }
    }
    serde_json::from_value(headers).unwrap()
}

fn request(changes: Value) -> Assertion {
    request_with(changes).sign(&signer("device"), &options()).unwrap()
}

/// A vector with changed headers, signed again.
fn changed(vector: &str, key: &str, changes: &[(&str, &str)]) -> Assertion {
    let mut statement = statement(&assertion(vector));
    for (name, value) in changes {
        statement.headers.set(name, *value).unwrap();
    }
    statement.sign(&signer(key), &options()).unwrap()
}

fn keys() -> Vec<AccountKey> {
    ["account-key-brand", "account-key-issuer"]
        .iter()
        .map(|name| AccountKey::try_from(&assertion(name)).unwrap())
        .collect()
}

fn verify(request: &Assertion, serial: &Assertion, model: &Assertion) -> Result<(), DeviceSessionError> {
    let keys = keys();
    let trusted = |id: &str| keys.iter().find(|key| key.public_key().id() == id);
    let session = DeviceSession::verify(request, serial, model, trusted, now())?;
    assert_eq!(
        (session.nonce(), session.serial().serial()),
        ("NONCE-1", "EB2-0653")
    );
    Ok(())
}

#[track_caller]
fn refused(request: &Assertion, serial: &Assertion, model: &Assertion, code: &str) {
    let error = verify(request, serial, model).unwrap_err();
    assert_eq!(
        miette::Diagnostic::code(&error).unwrap().to_string(),
        code,
        "{error}"
    );
}

/// The rules are snapd's: `assembleDeviceSessionRequest`, and the common ones.
#[test]
fn headers_are_checked() {
    for (changes, header) in [
        (json!({}), ""),
        (json!({ "more": "is ignored", "body": "too" }), ""),
        (json!({ "authority-id": "brand-acme" }), "authority-id"),
        (json!({ "brand-id": null }), "brand-id"),
        (json!({ "brand-id": "a/b" }), "brand-id"),
        (json!({ "model": null }), "model"),
        (json!({ "model": "Edge-box" }), "model"),
        (json!({ "serial": null }), "serial"),
        (json!({ "serial": "a/b" }), "serial"),
        (json!({ "nonce": null }), "nonce"),
        (json!({ "nonce": "" }), "nonce"),
        (json!({ "nonce": ["a"] }), "nonce"),
        (json!({ "timestamp": "2026-11-21" }), "timestamp"),
    ] {
        let statement = request_with(changes.clone());
        let found = statement.content(assertion("serial-request").sign_key_id(), DigestForm::Text);
        match found {
            Ok(_) => assert_eq!(header, "", "{changes}"),
            Err(snap_assertions::SignError::Header(error)) => assert_eq!(error.header, header, "{changes}"),
            Err(other) => panic!("{changes}: {other}"),
        }
    }
    let signed = request(json!({}));
    let decoded = decode(signed.to_string().as_bytes()).unwrap();
    let view = DeviceSessionRequest::try_from(&decoded).unwrap();
    assert_eq!((view.brand_id(), view.model()), ("brand-acme", "edge-box"));
    assert_eq!(
        (view.serial(), view.nonce(), view.timestamp()),
        ("EB2-0653", "NONCE-1", now())
    );
}

#[test]
fn a_device_is_verified_by_serial_and_model() {
    let (serial, model) = (assertion("serial"), assertion("model"));
    verify(&request(json!({})), &serial, &model).unwrap();
    // By an account in serial-authority.
    let by_issuer = changed("serial", "issuer", &[("authority-id", "acme")]);
    refused(
        &request(json!({})),
        &by_issuer,
        &model,
        "session-serial-authority",
    );
    let mut allowing = statement(&model);
    allowing
        .headers
        .set(
            "serial-authority",
            snap_assertions::Value::List(vec!["acme".into()]),
        )
        .unwrap();
    let allowing = allowing.sign(&signer("brand"), &options()).unwrap();
    verify(&request(json!({})), &by_issuer, &allowing).unwrap();
}

#[test]
fn requests_of_others_are_refused() {
    let (serial, model) = (assertion("serial"), assertion("model"));
    let ours = request(json!({}));
    let by_other = request_with(json!({}))
        .sign(&signer("brand"), &options())
        .unwrap();
    refused(&by_other, &serial, &model, "session-request-signature");
    refused(
        &request(json!({ "serial": "EB2-0654" })),
        &serial,
        &model,
        "session-device",
    );
    refused(
        &request(json!({ "model": "edge-box-2" })),
        &serial,
        &model,
        "session-device",
    );
    let other_model = changed("model", "brand", &[("model", "edge-box-2")]);
    refused(&ours, &serial, &other_model, "session-device");
    let other_serial = changed("serial", "brand", &[("serial", "EB2-0654")]);
    refused(&ours, &other_serial, &model, "session-device");
    refused(&ours, &ours, &model, "session-serial");
    refused(&serial, &serial, &model, "session-request");
    refused(&ours, &serial, &serial, "session-model");
    // The brand's name, but another's key.
    let forged = changed("serial", "device", &[]);
    refused(&ours, &forged, &model, "session-key-untrusted");
    let forged = changed("model", "issuer", &[]);
    refused(&ours, &serial, &forged, "session-signature");
}

#[test]
fn the_time_is_within_an_hour() {
    let (serial, model) = (assertion("serial"), assertion("model"));
    for (time, valid) in [
        ("2026-11-21T11:00:00Z", true),
        ("2026-11-21T13:00:00Z", true),
        ("2026-11-21T10:59:59Z", false),
        ("2026-11-21T13:00:01Z", false),
        ("2016-11-21T12:00:00Z", false),
        ("9999-12-31T23:59:59Z", false),
    ] {
        let found = verify(&request(json!({ "timestamp": time })), &serial, &model);
        assert_eq!(found.is_ok(), valid, "{time}");
    }
}
