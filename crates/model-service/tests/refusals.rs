//! Requests for a serial that are refused: each with its own code, and the device's next attempt
//! succeeds.

#![allow(clippy::unwrap_used)]

mod common;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::device::Device;
use common::http::Request;
use common::{ASSERTIONS, Bench, Service, encoded_key, key_id, model, model_by, pem, sign, text_vector};
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

    /// Fails unless the stream is refused and logged, no serial is issued, and the device's
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
    // That did not consume the nonce, and a parameter is ignored.
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
fn bodies_that_are_not_assertions() {
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
    // The nonce of another device.
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
fn models_without_a_signature_of_a_trusted_brand_key() {
    let world = World::new();
    // A trusted key of another account, and an unknown key.
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
    // The model that was accepted before, with the signature of another one.
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

/// The device is told that the key is the cause, and not the database.
#[test]
fn the_account_key_of_the_signer_expires_while_the_service_runs() {
    let bench = Bench::new();
    bench.write("serial.pem", pem("device").as_bytes());
    let now = jiff::Timestamp::now().as_second();
    let time = |second| jiff::Timestamp::from_second(second).unwrap().to_string();
    let until = now + 4;
    let account_key = json!({
        "type": "account-key", "authority-id": "brand-acme", "account-id": "brand-acme", "name": "serial",
        "public-key-sha3-384": key_id("device"), "since": time(now - 60), "until": time(until),
        "body": encoded_key("device"),
    });
    bench.write("serial.account-key", sign(account_key, "brand").as_bytes());
    let settings = std::fs::read_to_string(bench.path("settings.toml")).unwrap();
    let settings = settings.replace("account-keys = [", "account-keys = [\"serial.account-key\", ");
    bench.write("settings.toml", settings.as_bytes());
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    while jiff::Timestamp::now().as_second() < until {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    device
        .register(&service, "SN-1")
        .refused(503, "account-key-expired");
    assert_eq!(bench.last_logged().0, "account-key-expired");
    assert_eq!(bench.count("serials"), 0);
}

/// The same for an identity that cannot be read.
#[test]
fn a_damaged_identity_in_the_database() {
    let world = World::new();
    let texts = world.bench.imported("identity_texts");
    world
        .bench
        .execute(&format!("UPDATE {texts} SET text = 'damaged'"));
    let stream = world.stream();
    world.service.serial(&stream).refused(503, "identity-damaged");
    // The nonce was consumed before the proof was checked.
    world.service.serial(&stream).refused(403, "nonce-used");
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
fn identities_that_are_not_accepted() {
    let world = World::new();
    let stranger = Device::fresh("never imported");
    world.refuses(
        &stranger.stream(&world.service.nonce(), "SN-9"),
        403,
        "identity-unknown",
    );
    // Imported in one form, and requested in the other.
    let other_form = Device {
        form: snap_assertions::DigestForm::Der,
        ..Device::new("p256")
    };
    world.refuses(
        &other_form.stream(&world.service.nonce(), "SN-1"),
        403,
        "identity-unknown",
    );
    // By an account that is not an issuer of this model.
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
fn wrong_nonce_signatures() {
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
fn a_cloned_device_with_another_key() {
    let world = World::new();
    // It has all data of the device except its hardware key.
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
fn invalid_proposed_serials() {
    let world = World::new();
    // The device stays without a serial: it would keep that.
    let refuses = |serial: Value, code| {
        let nonce = world.service.nonce();
        let stream = world.device.stream_with(&nonce, "", json!({ "serial": serial }));
        world.service.serial(&stream).refused(400, code);
        assert_eq!(world.bench.last_logged().0, code);
    };
    refuses(Value::Null, "serial-missing");
    refuses("".into(), "serial-missing");
    for serial in [
        "a/b",
        "two\nlines",
        "a\tb",
        &"x".repeat(129),
        "SN-1\u{200b}",
        "\u{202e}1-NS",
        "S\u{41d}-1",
        "SN\u{a0}1",
        "SN-1 ",
        ".",
        "..",
    ] {
        refuses(serial.into(), "serial-invalid");
    }
    assert_eq!(world.bench.count("serials"), 0);
    world.next_attempt_succeeds();
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
    // It has its own serial now, and gets that one whatever it proposes.
    for proposed in ["SN-1".into(), "a/b".into(), Value::Null] {
        let changes = json!({ "serial": proposed });
        let answer = world
            .service
            .serial(&other.stream_with(&world.service.nonce(), "", changes));
        assert_eq!(
            (answer.status, other.accepts(&answer).0),
            (200, "SN-2".to_owned())
        );
    }
    // The same serial can exist in another model.
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
fn a_message_is_short_and_on_one_line() {
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
