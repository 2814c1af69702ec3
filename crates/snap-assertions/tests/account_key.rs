//! Account-keys: their checks, and the assertions that they verify.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{assertion, changed, expect, options, signer, wrong_header};
use snap_assertions::types::AccountKey;
use snap_assertions::{Assertion, HeaderProblem, Statement, VerifyError, WrongSignature};

#[test]
fn account_key() {
    expect(
        "account-key-issuer",
        &[
            (r#"{"account-id": null}"#, "account-id"),
            (r#"{"name": null}"#, ""),
            (r#"{"name": "1"}"#, "name"),
            (r#"{"name": "-a"}"#, "name"),
            (r#"{"since": null}"#, "since"),
            (r#"{"since": "2024"}"#, "since"),
            (r#"{"until": null}"#, ""),
            (r#"{"until": ""}"#, "until"),
            (r#"{"until": "2023-12-31T23:59:59Z"}"#, "until"),
            (r#"{"body": ""}"#, "body"),
            (r#"{"body": "AQ=="}"#, "body"),
            (r#"{"public-key-sha3-384": "A"}"#, "public-key-sha3-384"),
            (r#"{"format": "2"}"#, "format"),
        ],
    );
    let with = |constraints: &str| format!(r#"{{"format": "1", "constraints": {constraints}}}"#);
    for (constraints, header) in [
        (r#""a""#, "constraints"),
        ("[]", "constraints"),
        (r#"["a"]"#, "constraints[0]"),
        (r#"[{"a": "b"}]"#, "constraints[0].headers"),
        (r#"[{"headers": "a"}]"#, "constraints[0].headers"),
        (r#"[{"headers": {"model": "a"}}]"#, "constraints[0].headers.type"),
        (
            r#"[{"headers": {"type": ["model"]}}]"#,
            "constraints[0].headers.type",
        ),
        (
            r#"[{"headers": {"type": "mod.*"}}]"#,
            "constraints[0].headers.type",
        ),
        (
            r#"[{"headers": {"type": "model", "model": "("}}]"#,
            "constraints[0].headers.model",
        ),
        (
            r#"[{"headers": {"type": "model", "model": "$SLOT(a)"}}]"#,
            "constraints[0].headers.model",
        ),
        (
            r#"[{"headers": {"type": "model", "model": [["a"]]}}]"#,
            "constraints[0].headers.model[0]",
        ),
        (r#"[{"headers": {"type": "hardware-identity"}}]"#, ""),
    ] {
        let found = wrong_header("account-key-issuer", &with(constraints)).map_err(|error| error.header);
        let expected = if header.is_empty() {
            Ok(())
        } else {
            Err(header.to_owned())
        };
        assert_eq!(found, expected, "{constraints}");
    }
    // A snapd that does not know format 1 does not know constraints.
    let constraints = r#"{"constraints": [{"headers": {"type": "model"}}]}"#;
    let error = wrong_header("account-key-issuer", constraints).unwrap_err();
    assert_eq!(error.problem, HeaderProblem::FormatTooLow(1));
}

#[test]
fn an_account_key_verifies_assertions_of_its_account_in_its_validity() {
    let key_assertion = assertion("account-key-issuer");
    let key = AccountKey::try_from(&key_assertion).unwrap();
    let identity = assertion("hardware-identity-p256");
    let at = |time: &str| time.parse().unwrap();
    key.verify(&identity, at("2026-01-01T00:00:00Z")).unwrap();
    key.verify(&identity, key.since()).unwrap();
    let error = key.verify(&identity, at("2023-12-31T23:59:59Z")).unwrap_err();
    assert!(matches!(error, VerifyError::NotYetValid { .. }), "{error}");
    let error = key.verify(&identity, at("2034-01-01T00:00:00Z")).unwrap_err();
    assert!(matches!(error, VerifyError::Expired { .. }), "{error}");
    let error = key
        .verify(&assertion("serial"), at("2026-01-01T00:00:00Z"))
        .unwrap_err();
    assert!(matches!(error, VerifyError::OtherAccount { .. }), "{error}");
    let mut changed = identity.to_string();
    changed = changed.replace("manufacturer: ", "manufacturer: not ");
    let changed = snap_assertions::decode(changed.as_bytes()).unwrap();
    assert_eq!(
        key.verify(&changed, at("2026-01-01T00:00:00Z")),
        Err(VerifyError::Signature(WrongSignature))
    );

    // As in snapd, the timestamp of a serial is checked; that of a hardware-identity is not.
    let brand = assertion("account-key-brand");
    let brand = AccountKey::try_from(&brand).unwrap();
    let now = at("2026-01-01T00:00:00Z");
    let sign = |vector, key| {
        let old = changed_timestamp(vector);
        old.sign(&signer(key), &options()).unwrap()
    };
    brand.verify(&assertion("serial"), now).unwrap();
    let error = brand.verify(&sign("serial", "brand"), now).unwrap_err();
    assert!(matches!(error, VerifyError::TimestampOutside { .. }), "{error}");
    key.verify(&sign("hardware-identity-p256", "issuer"), now)
        .unwrap();
}

fn changed_timestamp(vector: &str) -> Statement {
    changed(vector, r#"{"timestamp": "2020-01-01T00:00:00Z"}"#)
}

/// Returns true if a key with these constraints may sign the assertion.
fn allowed(constraints: &str, signed: &Assertion) -> bool {
    let change = format!(r#"{{"format": "1", "constraints": {constraints}}}"#);
    let statement = changed("account-key-issuer", &change);
    let key = AccountKey::check(&statement.headers, &statement.body).unwrap();
    match key.verify(signed, "2026-01-01T00:00:00Z".parse().unwrap()) {
        Ok(()) => true,
        Err(VerifyError::Constraints) => false,
        Err(other) => panic!("{other}"),
    }
}

/// As in Go: classes and word boundaries are those of ASCII, and the rest is Unicode.
#[test]
fn constraints_are_regular_expressions_of_go() {
    for (manufacturer, pattern, expected) in [
        ("Gerät", r"\w+", false),
        ("Geraet_1", r"\w+", true),
        ("Gerät", r"Ger\Wt", true),
        ("Gerät", r"[\wä]+", true),
        ("Gerät", "Ger.t", true),
        ("GERÄT", "(?i)gerät", true),
        ("Gerät", r"\p{L}+", true),
        ("\u{663}", r"\d+", false),
        ("\u{663}", r"\D", true),
        ("3", r"[\d]", true),
        ("A\u{a0}B", r"A\sB", false),
        ("A\u{a0}B", r"A\SB", true),
        ("A B", r"A\sB", true),
        ("Acme", r"\<Acme", false),
        ("<Acme>", r"\<Acme\>", true),
        ("Ä B", r"Ä \bB", true),
        ("ÄB", r"Ä\bB", true),
        ("ÄÖ", r"Ä\BÖ", true),
        ("AB", r"A\bB", false),
        (r"A\w", r"A\\w", true),
    ] {
        let change = serde_json::json!({ "manufacturer": manufacturer }).to_string();
        let identity = changed("hardware-identity-p256", &change);
        let identity = identity.sign(&signer("issuer"), &options()).unwrap();
        let constraints = serde_json::json!([
            { "headers": { "type": "hardware-identity", "manufacturer": pattern } }
        ]);
        let found = allowed(&constraints.to_string(), &identity);
        assert_eq!(found, expected, "{pattern} {manufacturer}");
    }
}

#[test]
fn constraints_limit_what_a_key_may_sign() {
    let wrapped = assertion("hardware-identity-wrapped-key");
    for (headers, expected) in [
        (r#""hardware-name": "edge-.*""#, true),
        (r#""hardware-name": "edge""#, false),
        (r#""hardware-name": ["a", "edge-box-[0-9]"]"#, true),
        (r#""hardware-name": ["a", "b"]"#, false),
        (r#""model": "$MISSING""#, true),
        (r#""hardware-name": "$MISSING""#, false),
        (r#""model": ["$MISSING", "a"]"#, false),
        (r#""model": ".*""#, false),
        (r#""x-map": {"k": "v", "a": {"b": "c|d"}}"#, true),
        (r#""x-map": {"k": "w"}"#, false),
        (r#""x-map": "v""#, false),
        (r#""x-list": "[abc]""#, true),
        (r#""x-list": "[ab]""#, false),
    ] {
        let constraints = format!(r#"[{{"headers": {{"type": "hardware-identity", {headers}}}}}]"#);
        assert_eq!(allowed(&constraints, &wrapped), expected, "{headers}");
        let either = format!(r#"[{{"headers": {{"type": "model"}}}}, {}"#, &constraints[1..]);
        assert_eq!(allowed(&either, &wrapped), expected, "{headers}");
    }
}
