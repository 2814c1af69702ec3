//! Reads arbitrary bytes as each of the three messages. What is read is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use residency::{Answer, Challenge, EvidenceMessage};

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = EvidenceMessage::read(data) {
        assert_eq!(EvidenceMessage::read(message.to_json().as_bytes()).as_ref(), Ok(&message));
    }
    if let Ok(message) = Challenge::read(data) {
        assert_eq!(Challenge::read(message.to_json().as_bytes()).as_ref(), Ok(&message));
    }
    if let Ok(message) = Answer::read(data) {
        assert_eq!(Answer::read(message.to_json().as_bytes()).as_ref(), Ok(&message));
    }
});
