//! Requests for a serial that are refused: each with its own code, and the device's next attempt succeeds.

#![allow(clippy::unwrap_used)]

mod common;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::device::Device;
use common::http::Request;
use common::{ASSERTIONS, Bench, Service, model, model_by, pem, sign, text_vector};
use serde_json::{Value, json};

/// A bench with one device, whose identity is imported.
struct World {
    bench: Bench,
    service: Service,
    device: Device,
}

impl World {
    fn new() -> Self {
        let bench = Bench::new();
        let device = Device::new("p256");
        bench.import_text(&device.identity());
        let service = bench.serve();
        Self {
            bench,
            service,
            device,
        }
    }

    /// Fails unless the stream is refused, as the log then says too, and no serial given; and unless the device's
    /// next attempt succeeds.
    #[track_caller]
    fn refuses(&self, stream: &str, status: u16, code: &str) {
        self.service.serial(stream).refused(status, code);
        assert_eq!(self.bench.last_logged().0, code);
        self.next_attempt_succeeds();
    }

    #[track_caller]
    fn next_attempt_succeeds(&self) {
        let answer = self.device.register(&self.service, "SN-1");
        assert_eq!(self.device.accepts(&answer).0, "SN-1");
        assert_eq!(self.bench.count("serials"), 1);
    }

    /// A request with another body.
    fn with_body(&self, change: impl FnOnce(&mut Value)) -> String {
        let nonce = self.service.nonce();
        let mut body = self.device.body(&nonce);
        change(&mut body);
        self.device
            .stream_with(&nonce, "SN-1", json!({ "body": body.to_string() }))
    }

    fn stream(&self) -> String {
        self.device.stream(&self.service.nonce(), "SN-1")
    }
}

#[test]
fn another_content_type() {
    let world = World::new();
    let stream = world.stream();
    for kind in [
        None,
        Some("application/json"),
        Some("application/x.ubuntu.assertions"),
    ] {
        let request = Request::post("/v1/serial", stream.clone());
        let request = match kind {
            Some(kind) => request.header("content-type", kind),
            None => request,
        };
        world.service.send(&request).refused(415, "content-type");
    }
    // The nonce was not used up by that, and a parameter does no harm.
    let request = Request::post("/v1/serial", stream).header("content-type", &format!("{ASSERTIONS}; q=1"));
    world.device.accepts(&world.service.send(&request));
}

#[test]
fn bodies_that_are_too_large() {
    let bench = Bench::with("", "serial-body-bytes = 10000");
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    for length in [10_001, 3_000_000] {
        service.serial(&"x".repeat(length)).refused(413, "too-large");
    }
    let announced = Request::post("/v1/serial", "x")
        .header("content-type", ASSERTIONS)
        .announced(1 << 40);
    service.send(&announced).refused(413, "too-large");
    device.accepts(&device.register(&service, "SN-1"));
}

#[test]
fn bodies_that_end_too_early() {
    let world = World::new();
    let stream = world.stream();
    let model = stream.find("type: model").unwrap();
    for end in [40, model - 900, model + 40, model + 300] {
        world.refuses(&stream[..end], 400, "incomplete");
    }
    let request = Request::post("/v1/serial", stream.clone()).header("content-type", ASSERTIONS);
    let announced = request.announced(stream.len() + 1);
    world.service.send(&announced).refused(400, "incomplete");
    world.next_attempt_succeeds();
}

#[test]
fn what_is_no_stream_of_assertions() {
    let world = World::new();
    world.refuses("no assertion\n\nat all\n\n", 400, "stream");
    world.refuses("type: serial-request\nno-colon\n\n\nx\n", 400, "stream");
    world.refuses(&"\0".repeat(1000), 400, "incomplete");
}

#[test]
fn streams_of_other_assertions() {
    let world = World::new();
    let stream = world.stream();
    let (request, model) = stream.split_at(stream.find("\ntype: model").unwrap() + 1);
    let key = text_vector("account-key-brand.assert");
    for stream in [
        "",
        request,
        model,
        &format!("{stream}\n{model}"),
        &format!("{stream}\n{request}"),
        &format!("{stream}\n{key}"),
    ] {
        world.refuses(stream, 400, "stream-content");
    }
}

#[test]
fn serial_requests_that_are_changed() {
    let world = World::new();
    world.refuses(
        &world.stream().replacen("edge-box", "Edge-box", 1),
        400,
        "serial-request",
    );
    world.refuses(
        &world.stream().replacen("SN-1", "SN-2", 1),
        403,
        "serial-request-signature",
    );
    // Another device's nonce in place of the own.
    let (nonce, other) = (world.service.nonce(), world.service.nonce());
    let changed = world.device.stream(&nonce, "SN-1").replace(&nonce, &other);
    world.refuses(&changed, 403, "serial-request-signature");
}

#[test]
fn other_models_and_brands() {
    let world = World::new();
    let unknown = Device {
        model: "other-box".to_owned(),
        ..Device::new("p256")
    };
    world.refuses(
        &unknown.stream(&world.service.nonce(), "SN-1"),
        403,
        "model-unknown",
    );
    let request = |changes| {
        let stream = world.device.stream_with(&world.service.nonce(), "SN-1", changes);
        stream[..stream.find("\ntype: model").unwrap() + 2]
            .trim_end_matches('t')
            .to_owned()
    };
    let brand = request(json!({ "brand-id": "other-brand" }));
    let other_brand = model_by("other-brand", "edge-box", "device");
    world.refuses(&format!("{brand}{other_brand}"), 403, "model-unknown");
    for other in [model("edge-box-2"), other_brand] {
        world.refuses(&format!("{}{other}", request(json!({}))), 400, "model");
    }
}

#[test]
fn models_that_no_trusted_key_of_the_brand_signed() {
    let world = World::new();
    // A key that is trusted, but is another account's; and one that nobody knows.
    for key in ["issuer", "device"] {
        let stream = world.stream();
        let request = &stream[..stream.find("\ntype: model").unwrap()];
        let model = model_by("brand-acme", "edge-box", key);
        world.refuses(&format!("{request}\n{model}"), 403, "model-signature");
    }
    world.refuses(
        &world.stream().replace("core24", "core26"),
        403,
        "model-signature",
    );
    // The very model that was taken before, with the signature of another one.
    let signature = |model: &str| model.rsplit_once("\n\n").unwrap().1.to_owned();
    let other = signature(&model("edge-box-2"));
    let changed = world.stream().replace(&signature(&model("edge-box")), &other);
    world.refuses(&changed, 403, "model-signature");
}

#[test]
fn a_key_that_may_not_sign_the_brands_serials() {
    let bench = Bench::new();
    bench.write("serial.pem", pem("issuer").as_bytes());
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    device.register(&service, "SN-1").refused(403, "serial-authority");
}

#[test]
fn bodies_that_are_not_the_object() {
    let world = World::new();
    for body in [
        "",
        "text",
        "[]",
        r#""{\"hardware-id-key-sha3-384\":\"x\"}""#,
        "{}",
    ] {
        let stream = world
            .device
            .stream_with(&world.service.nonce(), "SN-1", json!({ "body": body }));
        world.refuses(&stream, 400, "body");
    }
    let other = |body: &mut Value| body["hardware-id-key-sha384"] = "other".into();
    world.refuses(&world.with_body(other), 400, "body");
    let unknown = |body: &mut Value| body["signature-hash-algorithm"] = "sha1".into();
    world.refuses(&world.with_body(unknown), 400, "hash-algorithm");
}

#[test]
fn identities_that_do_not_count() {
    let world = World::new();
    let stranger = Device::fresh("never imported");
    world.refuses(
        &stranger.stream(&world.service.nonce(), "SN-9"),
        403,
        "identity-unknown",
    );
    // Imported in one form, and asked for in the other.
    let other_form = Device {
        form: snap_assertions::DigestForm::Der,
        ..Device::new("p256")
    };
    world.refuses(
        &other_form.stream(&world.service.nonce(), "SN-1"),
        403,
        "identity-unknown",
    );
    // By an account whose word counts for nothing in this model.
    let mut headers = stranger.export();
    headers["authority-id"] = "brand-acme".into();
    headers["issuer-id"] = "brand-acme".into();
    world.bench.import_text(&sign(headers, "brand"));
    let answer = world
        .service
        .serial(&stranger.stream(&world.service.nonce(), "SN-9"));
    answer.refused(403, "identity-unknown");
    // The cause names the issuer of the imported identity.
    assert!(answer.json()["cause"].as_str().unwrap().contains("brand-acme"));
}

#[test]
fn nonce_signatures_that_do_not_fit() {
    let world = World::new();
    let nonce = world.service.nonce();
    let other_key = Device::fresh("another").sign_nonce(&nonce);
    let other_nonce = world.device.sign_nonce(&world.service.nonce());
    let mut trailing = world.device.sign_nonce(&nonce);
    trailing.push(0);
    let mut changed = world.device.sign_nonce(&nonce);
    *changed.last_mut().unwrap() ^= 1;
    for signature in [other_key, other_nonce, trailing, changed, Vec::new()] {
        let signature = BASE64_STANDARD.encode(signature);
        let stream = world.with_body(|body| body["request-id-signature"] = signature.into());
        world.refuses(&stream, 403, "nonce-signature");
    }
    let other_hash = |body: &mut Value| body["signature-hash-algorithm"] = "sha384".into();
    world.refuses(&world.with_body(other_hash), 403, "nonce-signature");
}

#[test]
fn a_cloned_device_whose_key_is_another() {
    let world = World::new();
    // It has everything of the device but its hardware key.
    let clone = Device::fresh("clone");
    let nonce = world.service.nonce();
    let mut body = world.device.body(&nonce);
    body["request-id-signature"] = BASE64_STANDARD.encode(clone.sign_nonce(&nonce)).into();
    let stream = world
        .device
        .stream_with(&nonce, "SN-1", json!({ "body": body.to_string() }));
    world.refuses(&stream, 403, "nonce-signature");
}

#[test]
fn proposed_serials_that_cannot_be() {
    let world = World::new();
    let stream = |serial: Value| {
        world
            .device
            .stream_with(&world.service.nonce(), "", json!({ "serial": serial }))
    };
    world.refuses(&stream(Value::Null), 400, "serial-missing");
    world.refuses(&stream("".into()), 400, "serial-missing");
    for serial in ["a/b", "two\nlines", "a\tb", &"x".repeat(129)] {
        world.refuses(&stream(serial.into()), 400, "serial-invalid");
    }
}

#[test]
fn serials_of_other_devices() {
    let world = World::new();
    world.next_attempt_succeeds();
    let other = Device {
        device_key: "issuer",
        ..Device::fresh("other")
    };
    world.bench.import_text(&other.identity());
    other
        .register(&world.service, "SN-1")
        .refused(409, "serial-taken");
    assert_eq!(other.accepts(&other.register(&world.service, "SN-2")).0, "SN-2");
    // It has one of its own now, and still may not have that one.
    other
        .register(&world.service, "SN-1")
        .refused(409, "serial-taken");
    // In another model the same serial is another one.
    let elsewhere = Device {
        model: "edge-box-2".to_owned(),
        ..other
    };
    assert_eq!(
        elsewhere.accepts(&elsewhere.register(&world.service, "SN-1")).0,
        "SN-1"
    );
}

#[test]
fn what_a_message_repeats_is_short_and_on_one_line() {
    let world = World::new();
    let long = format!("a\n{}", "b".repeat(50_000));
    let request = sign(
        {
            let mut statement = world.device.statement(&world.service.nonce(), "SN-1");
            statement["brand-id"] = long.into();
            statement
        },
        "device",
    );
    let answer = world.service.serial(&format!("{request}\n{}", model("edge-box")));
    answer.refused(403, "model-unknown");
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(
        message.len() < 1100 && !message.contains('\n'),
        "{}",
        message.len()
    );
}
