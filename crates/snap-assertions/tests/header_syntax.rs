//! The header syntax, line by line, and encode∘decode = identity.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{assertion, options, signer, statement};
use proptest::prelude::*;
use snap_assertions::{
    DecodeErrorKind, DigestForm, Headers, InvalidHeaderName, LocalSigner, Signer, Statement, SyntaxError,
    Value, decode,
};

/// A store assertion with the header lines `lines`. The type has no rules of its own, so that it
/// may have any header.
fn text_with(lines: &str) -> String {
    let id = "A".repeat(64);
    format!("type: store\nauthority-id: acme\nstore: acme\n{lines}\nsign-key-sha3-384: {id}\n\nAXNpZw==\n")
}

fn value_of(lines: &str) -> Result<Value, SyntaxError> {
    match decode(text_with(lines).as_bytes()) {
        Ok(decoded) => Ok(decoded.headers().get("x").unwrap().clone()),
        Err(error) => match error.kind {
            DecodeErrorKind::Syntax(syntax) => Err(syntax),
            other => panic!("{lines:?}: {other}"),
        },
    }
}

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::List(items.into_iter().collect())
}

fn map(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let mut headers = Headers::new();
    for (name, value) in entries {
        headers.set(name, value).unwrap();
    }
    Value::Map(headers)
}

#[test]
fn accepted() {
    for (lines, value) in [
        ("x: v", "v".into()),
        ("x: ", "".into()),
        ("x:  v ", " v ".into()),
        ("x: a: b", "a: b".into()),
        ("x: v\r", "v\r".into()),
        ("x:\n    one", "one".into()),
        ("x:\n    one\n      two\n    ", "one\n  two\n".into()),
        ("x:\n    \n    one", "\none".into()),
        ("x:\n  - a\n  - ", list(["a".into(), "".into()])),
        ("x:\n  -\n      a\n      b", list(["a\nb".into()])),
        (
            "x:\n  -\n    - a\n  -\n    k: v",
            list([list(["a".into()]), map([("k", "v".into())])]),
        ),
        (
            "x:\n  k:\n    - a\n  b: c",
            map([("k", list(["a".into()])), ("b", "c".into())]),
        ),
        ("x:\n  k:\n      a\n      b", map([("k", "a\nb".into())])),
    ] {
        assert_eq!(value_of(lines), Ok(value), "{lines:?}");
    }
}

#[test]
fn refused() {
    let missing = |name: &str, indent| SyntaxError::MissingValue {
        name: name.into(),
        indent,
    };
    let invalid = |name: &str| SyntaxError::from(InvalidHeaderName(name.into()));
    for (lines, error) in [
        ("x", SyntaxError::MissingColon("x".into())),
        ("x:v", SyntaxError::MissingSpace("x:v".into())),
        ("x:\tv", SyntaxError::MissingSpace("x:\tv".into())),
        (" x: v", invalid(" x")),
        ("x : v", invalid("x ")),
        ("x_y: v", invalid("x_y")),
        (": v", invalid("")),
        ("x: v\nx: w", SyntaxError::Repeated("x".into())),
        ("x:", missing("x:", 4)),
        ("x:\n   v", missing("x:", 4)),
        ("x:\n  ", missing("x:", 4)),
        ("x:\n  -v", SyntaxError::MissingSpace("  -v".into())),
        ("x:\n  -\n    ", missing("  -", 6)),
        ("x:\n  k", SyntaxError::MissingColon("k".into())),
        ("x:\n  k: v\n    l: w", invalid("  l")),
        ("x:\n  k: v\n  k: w", SyntaxError::Repeated("k".into())),
        ("x:\n  - v\n   - w", SyntaxError::MissingColon("   - w".into())),
    ] {
        assert_eq!(value_of(lines), Err(error), "{lines:?}");
    }
}

#[test]
fn deep_nesting() {
    let mut lines = String::from("x:\n");
    for depth in 0..350 {
        lines += &format!("{}-\n", " ".repeat(2 * depth + 2));
    }
    lines += &format!("{}- v", " ".repeat(2 * 350 + 2));
    let mut value = value_of(&lines).unwrap();
    for _ in 0..=350 {
        let Value::List(items) = value else { panic!() };
        value = items.into_iter().next().unwrap();
    }
    assert_eq!(value, "v".into());
}

#[test]
fn values_that_the_format_cannot_write_are_left_out() {
    let mut statement = statement(&assertion("hardware-identity-p256"));
    for (name, value) in [
        ("x-list", list([])),
        ("x-map", map([])),
        ("x-deep", list([list([]), map([("k", list([]))])])),
        ("x-part", list(["a".into(), list([]), "b".into()])),
    ] {
        statement.headers.set(name, value).unwrap();
    }
    let signed = statement.sign(&signer("issuer"), &options()).unwrap();
    let decoded = decode(signed.to_string().as_bytes()).unwrap();
    for name in ["x-list", "x-map", "x-deep"] {
        assert_eq!(decoded.headers().get(name), None);
    }
    assert_eq!(
        decoded.headers().get("x-part"),
        Some(&list(["a".into(), "b".into()]))
    );
}

fn name() -> impl Strategy<Value = String> {
    "[a-z](-?[a-z0-9]){0,6}".prop_map(|name| format!("x-{name}"))
}

/// Strings that look like syntax, and other strings.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        "[-: \n\r\ta]{0,8}",
        "\\PC{0,6}",
        Just("    - a".to_owned()),
        Just("\n\n".to_owned()),
    ]
}

/// Any value that the format can write.
fn value() -> impl Strategy<Value = Value> {
    let leaf = line().prop_map(Value::String);
    leaf.prop_recursive(4, 24, 4, |inner| {
        let entries = prop::collection::btree_map(name(), inner.clone(), 1..4);
        prop_oneof![
            prop::collection::vec(inner, 1..4).prop_map(Value::List),
            // The format sorts maps.
            entries.prop_map(|entries| {
                let mut headers = Headers::new();
                for (name, value) in entries {
                    headers.set(&name, value).unwrap();
                }
                Value::Map(headers)
            }),
        ]
    })
}

thread_local! {
    static SIGNER: LocalSigner = signer("issuer");
}

proptest! {
    #[test]
    fn decoding_what_was_encoded_gives_the_same(
        headers in prop::collection::btree_map(name(), value(), 0..5),
        body in prop_oneof![Just(String::new()), "\\PC{0,40}", "[\n a]{1,20}"],
    ) {
        let mut statement = Statement::default();
        for (name, value) in [("type", "store"), ("authority-id", "acme"), ("store", "acme")] {
            statement.headers.set(name, value).unwrap();
        }
        for (name, value) in headers {
            statement.headers.set(&name, value).unwrap();
        }
        statement.body = body;
        let id = SIGNER.with(|signer| signer.public_key().id().to_owned());
        let content = statement.content(&id, DigestForm::Text).unwrap();
        let text = format!("{content}\n\nAXNpZw==\n");
        let decoded = decode(text.as_bytes()).unwrap();
        prop_assert_eq!(decoded.to_string(), text);
        let mut headers = decoded.headers().clone();
        headers.remove("body-length");
        headers.remove("sign-key-sha3-384");
        prop_assert_eq!(&headers, &statement.headers);
        prop_assert_eq!(decoded.body(), &statement.body);
    }

    #[test]
    fn any_text_is_decoded_or_refused(text in "(type|a|-|: |:|\n|  |    |\n\n|body-length|3){0,40}") {
        let _ = decode(text.as_bytes());
    }
}
