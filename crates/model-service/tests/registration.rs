//! Registrations that succeed: the serial of a device, also when it registers again.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::device::Device;
use common::http::Request;
use common::{API_KEY, ASSERTIONS, Bench, model, sign, text_vector};
use serde_json::json;
use snap_assertions::DigestForm;

#[test]
fn each_algorithm_and_both_digest_forms() {
    let bench = Bench::new();
    let service = bench.serve();
    for (kind, form) in [
        ("p256", DigestForm::Text),
        ("p384", DigestForm::Text),
        ("rsa2048", DigestForm::Text),
    ] {
        let device = Device {
            form,
            ..Device::new(kind)
        };
        bench.import_text(&device.identity());
        let serial = format!("SN-{kind}");
        let answer = device.register(&service, &serial);
        assert_eq!(answer.status, 201);
        assert_eq!(device.accepts(&answer), (serial.clone(), 0));
        assert_eq!(bench.last_logged(), ("issued".to_owned(), serial));
    }
    for kind in ["p256", "p384", "rsa2048"] {
        // The same keys as above: importing one in the other form too does not make it another
        // device.
        let device = Device {
            form: DigestForm::Der,
            ..Device::new(kind)
        };
        bench.import_text(&device.identity());
        let answer = device.register(&service, &format!("SN-{kind}"));
        assert_eq!(answer.status, 200);
        assert_eq!(device.accepts(&answer).0, format!("SN-{kind}"));
    }
}

#[test]
fn an_identity_that_snapd_signed() {
    let bench = Bench::new();
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let settings = settings.replace("[\"edge-box\"]", "[\"edge-box-2\"]");
    bench.write("settings.toml", settings.as_bytes());
    let service = bench.serve();
    bench.import_text(&text_vector("hardware-identity-p256.assert"));
    let device = Device::new("p256");
    device.accepts(&device.register(&service, "SN-1"));
}

#[test]
fn the_paths_with_and_without_a_version_are_the_same() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    for path in ["/serial", "/v1/serial"] {
        let nonce = service
            .send(&Request::post(&path.replace("serial", "request-id"), ""))
            .json();
        let stream = device.stream(nonce["request-id"].as_str().unwrap(), "SN-1");
        let request = Request::post(path, stream).header("content-type", ASSERTIONS);
        device.accepts(&service.send(&request));
    }
}

#[test]
fn the_same_device_gets_the_same_assertion_again() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    let first = device.register(&service, "SN-1");
    let again = device.register(&service, "SN-1");
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.body, again.body);
    assert_eq!(bench.last_logged().0, "repeated");
    // Whatever it proposes now.
    let other = device.register(&service, "SN-2");
    assert_eq!(other.body, first.body);
    assert_eq!((bench.count("serials"), bench.count("issued")), (1, 1));
}

#[test]
fn a_reinstalled_device_keeps_its_serial_with_the_new_device_key() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    device.accepts(&device.register(&service, "SN-1"));
    let reinstalled = Device {
        device_key: "issuer",
        ..device
    };
    let answer = reinstalled.register(&service, "SN-1");
    // A higher revision, as snapd may still have the assertion with the old key.
    assert_eq!(reinstalled.accepts(&answer), ("SN-1".to_owned(), 1));
}

#[test]
fn serials_survive_a_crash_right_after_the_answer() {
    let bench = Bench::new();
    let mut service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    let first = device.register(&service, "SN-1");
    service.kill();
    let service = bench.serve();
    assert_eq!(device.register(&service, "SN-1").body, first.body);
}

#[test]
fn models_with_an_api_key() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device {
        model: "edge-box-key".to_owned(),
        ..Device::new("p256")
    };
    device
        .register_with_key(&service, "SN-1", None)
        .refused(401, "api-key");
    let wrong = API_KEY.replace("the", "The");
    device
        .register_with_key(&service, "SN-1", Some(&wrong))
        .refused(401, "api-key");
    let prefix = &API_KEY[..API_KEY.len() - 1];
    device
        .register_with_key(&service, "SN-1", Some(prefix))
        .refused(401, "api-key");
    let answer = device.register_with_key(&service, "SN-1", Some(API_KEY));
    assert_eq!(device.accepts(&answer).0, "SN-1");
    // Its device key identifies the device.
    let other = Device {
        device_key: "issuer",
        ..device
    };
    other
        .register_with_key(&service, "SN-1", Some(API_KEY))
        .refused(409, "serial-taken");
    let answer = other.register_with_key(&service, "SN-2", Some(API_KEY));
    assert_eq!(other.accepts(&answer).0, "SN-2");
}

#[test]
fn an_api_key_is_for_one_model() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    device
        .register_with_key(&service, "SN-1", Some(API_KEY))
        .refused(400, "body");
}

#[test]
fn the_order_of_the_assertions_does_not_matter() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    let request = sign(device.statement(&service.nonce(), "SN-1"), "device");
    device.accepts(&service.serial(&format!("{}\n{request}", model("edge-box"))));
}

#[test]
fn the_body_may_have_either_name_of_the_digest_and_other_fields() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    for taken_away in [
        "hardware-id-key-sha384",
        "hardware-id-key-sha3-384",
        "signature-hash-algorithm",
    ] {
        let nonce = service.nonce();
        let mut body = device.body(&nonce);
        body.as_object_mut().unwrap().remove(taken_away);
        body["further"] = json!({ "fields": [1, null] });
        let stream = device.stream_with(&nonce, "SN-1", json!({ "body": body.to_string() }));
        device.accepts(&service.serial(&stream));
    }
}
