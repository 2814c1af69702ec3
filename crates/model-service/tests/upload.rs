//! The import with the form of the page.

#![allow(clippy::unwrap_used)]

mod common;

use common::Bench;
use common::device::Device;
use common::http::Request;
use common::page::Visitor;
use serde_json::json;

#[test]
fn importing_by_upload() {
    let bench = Bench::new();
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    let device = Device::new("p256");
    let csrf = visitor.csrf();
    let identity = device.identity();
    let answer = visitor.upload(&csrf, &identity);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains(">new</span>"));
    assert!(visitor.upload(&csrf, &identity).body.contains(">present</span>"));
    device.accepts(&device.register(&service, "SN-1"));

    let changed = device
        .identity_with(json!({ "revision": "1" }))
        .replace("Acme", "Bcme");
    let answer = visitor.upload(&csrf, &format!("{}\n{changed}", Device::new("p384").identity()));
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains("[import-refused]"), "{}", answer.body);
    assert!(answer.body.contains("[signature-wrong]"), "{}", answer.body);
    assert_eq!(bench.count("identities"), 1);
    assert!(visitor.upload(&csrf, "").body.contains("[import-empty]"));
    // An unsigned export.
    let answer = visitor.upload(&csrf, &Device::new("p384").export().to_string());
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains("[unsigned-export]"), "{}", answer.body);
}

#[test]
fn forms_of_another_session_are_refused() {
    let bench = Bench::new();
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    let other = Visitor::log_in(&service);
    let identity = Device::new("p256").identity();
    for csrf in ["", "forged", &other.csrf(), &"x".repeat(5000)] {
        let answer = visitor.upload(csrf, &identity);
        assert_eq!(answer.status, 403);
        assert!(answer.body.contains("[form-stale]"), "{}", answer.body);
    }
    assert_eq!(bench.count("identities"), 0);
}

#[test]
fn forms_that_end_too_early() {
    let bench = Bench::new();
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    let body = format!(
        "--limit\r\ncontent-disposition: form-data; name=\"csrf\"\r\n\r\n{}\r\n--limit\r\n\
         content-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{}",
        visitor.csrf(),
        Device::new("p256").identity()
    );
    let request =
        Request::post("/import", body).header("content-type", "multipart/form-data; boundary=limit");
    assert_eq!(visitor.send(request).status, 400);
    assert_eq!(bench.count("identities"), 0);
}
