//! Any JSON is read or refused without a panic. A statement that passes the checks can be decoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap_assertions::{DigestForm, Statement, decode};

fuzz_target!(|json: &str| {
    let Ok(statement) = Statement::from_json(json) else {
        return;
    };
    let id = "A".repeat(64);
    for form in [DigestForm::Text, DigestForm::Der] {
        if let Ok(content) = statement.content(&id, form) {
            decode(format!("{content}\n\nAXNpZw==\n").as_bytes()).expect("what was written can be read");
        }
    }
});
