//! The messages, against the sample files.

use residency::{
    Answer, Challenge, Evidence, EvidenceMessage, LARGEST_EVIDENCE, LARGEST_MESSAGE, MessageError,
};
use serde_json::{Value, json};

use crate::text;

const TEMPLATES: [&str; 3] = ["L-1", "L-2", "H-3"];

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

#[test]
fn the_samples_are_read_and_written() {
    for template in TEMPLATES {
        let sample = text(&format!("{template}.evidence.json"));
        let evidence = EvidenceMessage::read(sample.as_bytes()).unwrap();
        let Evidence::Endorsement { keys, .. } = &evidence.evidence else {
            panic!("another kind")
        };
        assert_eq!(keys[0].template.name(), template);
        assert_eq!(value(&evidence.to_json()), value(&sample));
        let sample = text(&format!("{template}.challenge.json"));
        let challenge = Challenge::read(sample.as_bytes()).unwrap();
        assert_eq!(value(&challenge.to_json()), value(&sample));
        let sample = text(&format!("{template}.answer.json"));
        let answer = Answer::read(sample.as_bytes()).unwrap();
        assert_eq!(value(&answer.to_json()), value(&sample));
    }
}

#[test]
fn the_members_have_the_order_of_the_samples() {
    let names = |json: &str| -> Vec<String> {
        json.lines()
            .filter_map(|line| Some(line.trim().strip_prefix('"')?.split_once('"')?.0.to_owned()))
            .collect()
    };
    let sample = text("L-1.challenge.json");
    let made = Challenge::read(sample.as_bytes()).unwrap().to_json();
    assert_eq!(names(&made), names(&sample));
    let sample = text("L-1.evidence.json");
    let made = EvidenceMessage::read(sample.as_bytes()).unwrap().to_json();
    assert_eq!(names(&made), names(&sample));
}

fn changed(name: &str, member: &str, new: Value) -> Vec<u8> {
    let mut message = value(&text(name));
    message[member] = new;
    message.to_string().into_bytes()
}

#[test]
fn another_type_version_or_form_is_refused() {
    let sample = "L-1.challenge.json";
    assert!(Challenge::read(&changed(sample, "further", json!(1))).is_ok());
    let error = |member, new| Challenge::read(&changed(sample, member, new)).unwrap_err();
    assert!(matches!(
        error("version", json!(2)),
        MessageError::Version { found: 2, .. }
    ));
    assert!(matches!(
        error("type", json!("hardware-identity-answer")),
        MessageError::Type { .. }
    ));
    for (member, new) in [
        ("credential-blob", json!("*")),
        ("credential-blob", Value::Null),
        ("key-name", json!(1)),
        ("template", json!("L-9")),
        ("version", json!("1")),
    ] {
        assert!(
            matches!(error(member, new), MessageError::Malformed { .. }),
            "{member}"
        );
    }
    for json in [&b""[..], b"[]", b"{}", b"{\"type\":", b"\xff"] {
        assert!(EvidenceMessage::read(json).is_err());
    }
    let no_kind = changed("L-1.evidence.json", "endorsement", Value::Null);
    assert!(matches!(
        EvidenceMessage::read(&no_kind),
        Err(MessageError::Malformed { .. })
    ));
}

#[test]
fn sizes_are_limited() {
    let long = changed(
        "L-1.answer.json",
        "hardware-id",
        json!("x".repeat(LARGEST_MESSAGE as usize)),
    );
    assert!(matches!(Answer::read(&long), Err(MessageError::TooLarge { .. })));
    let long = changed(
        "L-1.evidence.json",
        "hardware-id",
        json!("x".repeat(LARGEST_EVIDENCE as usize)),
    );
    assert!(matches!(
        EvidenceMessage::read(&long),
        Err(MessageError::TooLarge { .. })
    ));
}
