//! The JSON form of `snap sign`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::text;
use snap_assertions::{Statement, Value};

#[test]
fn strings_lists_maps_and_the_body() {
    let statement = Statement::from_json(&text("hardware-identity-wrapped-key.json")).unwrap();
    assert_eq!(statement.headers.get_str("x-lines"), Some("one\ntwo\n"));
    let list = statement.headers.get("x-list").unwrap().as_list().unwrap();
    assert_eq!(list[2], Value::List(vec!["c".into()]));
    let map = statement.headers.get("x-map").unwrap().as_map().unwrap();
    assert_eq!(map.get("a").unwrap().as_map().unwrap().get_str("b"), Some("c"));
    assert_eq!(statement.body, "");

    let request = Statement::from_json(&text("serial-request.json")).unwrap();
    assert!(request.body.starts_with("{\"hardware-id-key-sha3-384\""));
    assert_eq!(request.headers.get("body"), None);
}

#[test]
fn values_that_headers_cannot_have_are_refused_by_name() {
    for (json, name) in [
        (r#"{"revision": 1}"#, "revision"),
        (r#"{"revision": -1}"#, "revision"),
        (r#"{"revision": 1.5}"#, "revision"),
        (r#"{"revision": 18446744073709551616}"#, "revision"),
        (r#"{"classic": true}"#, "classic"),
        (r#"{"store": null}"#, "store"),
        (r#"{"snaps": [{"name": null}]}"#, "name"),
        (r#"{"x": {"y": [1]}}"#, "y"),
        (r#"{"body": ["a"]}"#, "body"),
        (r#"{"a": "1", "b": "2", "a": "3"}"#, "a"),
        (r#"{"x": {"y": "1", "y": "2"}}"#, "y"),
        (r#"{"body": "1", "body": "2"}"#, "body"),
        (r#"{"Type": "model"}"#, "Type"),
        (r#"{"x": {"a b": "c"}}"#, "a b"),
    ] {
        let error = Statement::from_json(json).unwrap_err();
        assert!(error.reason.contains(&format!("{name:?}")), "{json}: {error}");
        assert_eq!(error.line, 1, "{json}: {error}");
        assert!((2..=json.len()).contains(&error.column), "{json}: {error}");
        assert!(!error.reason.contains("column"), "{json}: {error}");
    }
}

#[test]
fn only_objects_are_accepted() {
    for json in [
        "",
        "[]",
        "\"a\"",
        "{",
        "{}{}",
        "{} x",
        "{\"a\": \"\\ud800\"}",
        "nul",
    ] {
        assert!(Statement::from_json(json).is_err(), "{json}");
    }
    let deep = format!("{{\"x\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Statement::from_json(&deep).is_err());
    assert_eq!(Statement::from_json("{}").unwrap(), Statement::default());
}

#[test]
fn a_stream_of_objects() {
    let stream = r#"{"type": "a"} {"type": "b"}
        {"type": 3}"#;
    let mut statements = serde_json::Deserializer::from_str(stream).into_iter::<Statement>();
    for name in ["a", "b"] {
        assert_eq!(
            statements.next().unwrap().unwrap().headers.get_str("type"),
            Some(name)
        );
    }
    assert!(statements.next().unwrap().is_err());
}
