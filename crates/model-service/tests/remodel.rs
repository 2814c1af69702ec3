//! Remodels: a device with a serial of one model requests one of another.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::device::Device;
use common::http::{Answer, Request};
use common::{API_KEY, ASSERTIONS, Bench, Service, pem, sign};
use serde_json::{Value, json};

const NEW: &str = "edge-box-2";

/// A bench with a device that has the serial `SN-1` in its first model.
struct World {
    bench: Bench,
    service: Service,
    device: Device,
    old_serial: String,
}

impl World {
    fn new() -> Self {
        Self::with("")
    }

    /// With these settings of the new model instead of its hardware names and `serial`.
    fn with(settings: &str) -> Self {
        let bench = Bench::new();
        if !settings.is_empty() {
            let binding = "hardware-names = [\"edge-box\"]\nserial = \"proposed\"";
            let text = fs::read_to_string(bench.path("settings.toml")).unwrap();
            let (before, after) = text.rsplit_once(binding).unwrap();
            bench.write("settings.toml", format!("{before}{settings}{after}").as_bytes());
        }
        let device = Device::new("p256");
        bench.import_text(&device.identity());
        let service = bench.serve();
        let old_serial = device.register(&service, "SN-1").body;
        Self {
            bench,
            service,
            device,
            old_serial,
        }
    }

    /// `device` asks for a serial of `model` as snapd does in a remodel.
    fn remodel(&self, device: &Device, model: &str, old: &str, changes: Value) -> Answer {
        let device = Device {
            model: model.to_owned(),
            key: Device::new("p256").key,
            spki: device.spki.clone(),
            hardware_id: device.hardware_id.clone(),
            ..*device
        };
        let mut headers = json!({
            "original-brand-id": "brand-acme", "original-model": "edge-box", "original-serial": "SN-1",
        });
        for (name, value) in changes.as_object().unwrap() {
            headers[name] = value.clone();
        }
        let stream = device.stream_with(&self.service.nonce(), "SN-NEW", headers);
        let stream = if old.is_empty() {
            stream
        } else {
            format!("{stream}\n{old}")
        };
        let request = Request::post("/v1/serial", stream).header("content-type", ASSERTIONS);
        self.service.send(&request.header("api-key", API_KEY))
    }
}

#[test]
fn a_device_keeps_its_identity() {
    let world = World::new();
    let answer = world.remodel(&world.device, NEW, &world.old_serial, json!({}));
    let remodeled = Device {
        model: NEW.to_owned(),
        ..Device::new("p256")
    };
    assert_eq!(remodeled.accepts(&answer), ("SN-NEW".to_owned(), 0));
}

#[test]
fn a_remodel_follows_the_rules_of_the_new_model() {
    let world = World::with("serial = \"proposed\"");
    world
        .remodel(&world.device, NEW, &world.old_serial, json!({}))
        .refused(403, "hardware-name-not-allowed");
    let world = World::with("hardware-names = [\"edge-box\"]");
    let remodel = |changes| world.remodel(&world.device, NEW, &world.old_serial, changes);
    remodel(json!({})).refused(403, "serial-not-hardware-id");
    let answer = remodel(json!({ "serial": "p256" }));
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[test]
fn a_blocked_identity_is_not_remodeled() {
    let world = World::new();
    let digest = world.device.digest();
    let block = world
        .bench
        .run(&["identity", "block"], &[&digest, "--reason", "stolen"]);
    assert!(block.status.success(), "{block:?}");
    world
        .remodel(&world.device, NEW, &world.old_serial, json!({}))
        .refused(403, "identity-blocked");
}

/// An account in `serial-authority` signed the old serial.
#[test]
fn an_old_serial_by_another_account_than_the_brand() {
    let bench = Bench::new();
    bench.write("serial.pem", pem("issuer").as_bytes());
    let service = bench.serve();
    let mut device = Device::new("p256");
    bench.import_text(&device.identity());
    let register = |device: &Device, headers: Value, old: &str| {
        let stream = device.stream_with(&service.nonce(), "SN-1", headers);
        let request = stream[..stream.find("\ntype: model").unwrap()].to_owned();
        let snaps =
            json!([{ "name": "gadget", "type": "gadget" }, { "name": "pc-kernel", "type": "kernel" }]);
        let model = sign(
            json!({
                "type": "model", "authority-id": "brand-acme", "brand-id": "brand-acme", "series": "16",
                "model": device.model, "architecture": "amd64", "base": "core24", "grade": "dangerous",
                "snaps": snaps, "serial-authority": ["acme"], "timestamp": "2026-01-01T00:00:00Z",
            }),
            "brand",
        );
        service.serial(&format!("{request}\n{model}{old}"))
    };
    let old = register(&device, json!({}), "");
    assert_eq!(old.status, 201, "{old:?}");
    device.model = NEW.to_owned();
    let original = json!({
        "original-brand-id": "brand-acme", "original-model": "edge-box", "original-serial": "SN-1",
    });
    let answer = register(&device, original, &format!("\n{}", old.body));
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[test]
fn the_old_serial_must_be_present_and_match() {
    let world = World::new();
    let refused = |old: &str, changes| {
        world
            .remodel(&world.device, NEW, old, changes)
            .refused(403, "remodel-serial")
    };
    refused("", json!({}));
    refused(&world.old_serial, json!({ "original-serial": "SN-2" }));
    refused(&world.old_serial, json!({ "original-model": "edge-box-2" }));
    refused(&world.old_serial, json!({ "original-brand-id": null }));
    refused(
        &world.old_serial.replace("SN-1", "SN-2"),
        json!({ "original-serial": "SN-2" }),
    );
    let by_account = |account, key, serial| {
        sign(
            json!({
                "type": "serial", "authority-id": account, "brand-id": "brand-acme", "model": "edge-box",
                "serial": serial, "timestamp": "2026-11-01T00:00:00Z",
                "device-key": common::encoded_key("device"), "device-key-sha3-384": common::key_id("device"),
            }),
            key,
        )
    };
    let by = |key, serial| by_account("brand-acme", key, serial);
    // By the trusted key of an account that does not sign serials of the model.
    refused(&by_account("acme", "issuer", "SN-1"), json!({}));
    // By a key of another account, then by the brand but not issued by this service.
    refused(&by("device", "SN-1"), json!({}));
    refused(&by("brand", "SN-5"), json!({ "original-serial": "SN-5" }));
}

#[test]
fn the_old_serial_of_another_device_key() {
    let world = World::new();
    let reinstalled = Device {
        device_key: "issuer",
        ..Device::new("p256")
    };
    world
        .remodel(&reinstalled, NEW, &world.old_serial, json!({}))
        .refused(403, "remodel-serial");
}

#[test]
fn the_old_serial_of_another_hardware_identity() {
    let world = World::new();
    // With the device key too, as on a cloned disk, but with another hardware key.
    let clone = Device {
        model: NEW.to_owned(),
        ..Device::fresh("clone")
    };
    world.bench.import_text(&clone.identity());
    let original = json!({
        "original-brand-id": "brand-acme", "original-model": "edge-box", "original-serial": "SN-1",
    });
    let stream = clone.stream_with(&world.service.nonce(), "SN-NEW", original);
    let answer = world.service.serial(&format!("{stream}\n{}", world.old_serial));
    answer.refused(403, "remodel-identity");
}

#[test]
fn a_remodel_between_provisioning_methods_is_refused() {
    let world = World::new();
    world
        .remodel(&world.device, "edge-box-key", &world.old_serial, json!({}))
        .refused(403, "remodel-provisioning");
    let device = Device {
        model: "edge-box-key".to_owned(),
        ..Device::new("p256")
    };
    let old = device.register_with_key(&world.service, "SN-1", Some(API_KEY));
    device.accepts(&old);
    world
        .remodel(
            &world.device,
            NEW,
            &old.body,
            json!({ "original-model": "edge-box-key" }),
        )
        .refused(403, "remodel-provisioning");
    assert_eq!(world.bench.count("serials"), 2);
}
