//! Any header lines: what the decoder reads can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap_assertions::{DigestForm, Statement, decode};

fuzz_target!(|lines: &str| {
    let id = "A".repeat(64);
    let head = format!("type: store\nauthority-id: a\nstore: a\n{lines}\nsign-key-sha3-384: {id}");
    let Ok(assertion) = decode(format!("{head}\n\nAXNpZw==\n").as_bytes()) else {
        return;
    };
    let mut headers = assertion.headers().clone();
    headers.remove("sign-key-sha3-384");
    headers.remove("body-length");
    let statement = Statement { headers, body: String::new() };
    // An unknown format can be read but not signed.
    let Ok(content) = statement.content(&id, DigestForm::Text) else {
        return;
    };
    let again = decode(format!("{content}\n\nAXNpZw==\n").as_bytes()).expect("what was written can be read");
    let mut headers = again.headers().clone();
    headers.remove("sign-key-sha3-384");
    let rewritten = Statement { headers, body: String::new() };
    assert_eq!(rewritten.content(&id, DigestForm::Text).expect("and written again"), content);
});
