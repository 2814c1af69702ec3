//! What binds a serial to a hardware identity.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::Bench;
use common::device::Device;
use serde_json::json;

/// A bench whose models with hardware identities have these settings.
fn bench_with(settings: &str) -> Bench {
    let bench = Bench::new();
    change_settings(&bench, "serial = \"proposed\"", settings);
    bench
}

fn change_settings(bench: &Bench, old: &str, new: &str) {
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    assert!(settings.contains(old));
    bench.write("settings.toml", settings.replace(old, new).as_bytes());
}

#[test]
fn the_serial_is_the_hardware_id() {
    let bench = bench_with("");
    let devices = ["SN-1", "SN-2", "SN-3"].map(Device::fresh);
    bench.import_text(&devices.each_ref().map(Device::identity).join("\n"));
    let service = bench.serve();
    let [first, second, third] = &devices;
    for other in ["SN-2", "sn-1", "SN-1 2"] {
        first
            .register(&service, other)
            .refused(403, "serial-not-hardware-id");
    }
    // A look-alike.
    first
        .register(&service, "SN-1\u{200b}")
        .refused(400, "serial-invalid");
    assert_eq!(bench.count("serials"), 0);
    assert_eq!(first.accepts(&first.register(&service, "SN-1")).0, "SN-1");
    assert_eq!(second.accepts(&second.register(&service, "SN-2")).0, "SN-2");
    // Without a proposal.
    let stream = third.stream_with(&service.nonce(), "", json!({ "serial": null }));
    assert_eq!(third.accepts(&service.serial(&stream)), ("SN-3".to_owned(), 0));
    assert_eq!(bench.last_logged(), ("issued".to_owned(), "SN-3".to_owned()));
    // Registered, it keeps its serial.
    assert_eq!(first.accepts(&first.register(&service, "SN-2")).0, "SN-1");
    assert_eq!(bench.count("serials"), 3);
}

#[test]
fn a_serial_from_before_the_rule_stays() {
    let bench = Bench::new();
    let devices = ["SN-1", "SN-2"].map(Device::fresh);
    bench.import_text(&devices.each_ref().map(Device::identity).join("\n"));
    let [first, second] = &devices;
    let mut service = bench.serve();
    first.accepts(&first.register(&service, "SN-2"));
    service.kill();
    change_settings(&bench, "serial = \"proposed\"", "serial = \"hardware-id\"");
    let service = bench.serve();
    assert_eq!(first.accepts(&first.register(&service, "SN-1")).0, "SN-2");
    second.register(&service, "SN-2").refused(409, "serial-taken");
    let release = ["brand-acme", "edge-box", "SN-2", "--reason", "another device's"];
    assert!(bench.run(&["serial", "release"], &release).status.success());
    assert_eq!(second.accepts(&second.register(&service, "SN-2")).0, "SN-2");
    assert_eq!(first.accepts(&first.register(&service, "SN-1")).0, "SN-1");
}

#[test]
fn hardware_ids_that_cannot_be_serials() {
    let bench = bench_with("");
    let service = bench.serve();
    for id in ["A/1", "..", &"x".repeat(129)] {
        let device = Device::fresh(id);
        bench.import_text(&device.identity());
        let stream = device.stream_with(&service.nonce(), "", json!({ "serial": null }));
        service.serial(&stream).refused(403, "hardware-id-not-serial");
    }
}

#[test]
fn a_proposed_serial_matches_the_whole_pattern() {
    let bench = bench_with("serial = \"proposed\"\nserial-pattern = 'SN-\\d+|spare'");
    let service = bench.serve();
    let device = Device::fresh("A");
    bench.import_text(&device.identity());
    for other in ["A", "SN-", "SN-1x", "xspare", "spare-1"] {
        device
            .register(&service, other)
            .refused(400, "serial-pattern-mismatch");
    }
    assert_eq!(device.accepts(&device.register(&service, "SN-12")).0, "SN-12");
    assert_eq!(device.accepts(&device.register(&service, "other")).0, "SN-12");
}

#[test]
fn hardware_ids_with_characters_that_mislead_are_not_imported() {
    let bench = Bench::new();
    let service = bench.serve();
    let good = Device::fresh("SN-1 (A)").identity();
    for id in [
        "SN-1\u{200b}",
        "\u{202e}1-NS",
        "S\u{41d}-1",
        "SN\u{a0}1",
        "SN\u{1b}[2J",
        "SN\0",
        " SN-1",
    ] {
        let identity = Device::fresh(id).identity();
        let answer = service.import(&format!("{good}\n{identity}"));
        assert_eq!(answer.status, 422);
        let line = &answer.json()["assertions"][1];
        assert_eq!(line["code"], "hardware-id-not-readable", "{id:?}");
    }
    assert_eq!(bench.count("identities"), 0);
}

#[test]
fn an_identity_is_for_the_hardware_of_its_model() {
    let bench = Bench::new();
    change_settings(&bench, "hardware-names = [\"edge-box\"]\n", "");
    let service = bench.serve();
    let mut device = Device::fresh("hw-1");
    bench.import_text(&device.identity());
    // The default is the name of the model.
    device.model = "edge-box-2".to_owned();
    device
        .register(&service, "SN-1")
        .refused(403, "hardware-name-not-allowed");
    assert_eq!(bench.count("serials"), 0);
    device.model = "edge-box".to_owned();
    device.accepts(&device.register(&service, "SN-1"));
    // Several names.
    let mut other = Device::fresh("hw-2");
    other.model = "edge-box-2".to_owned();
    bench.import_text(&other.identity_with(json!({ "hardware-name": "edge-board" })));
    drop(service);
    let names = "hardware-names = [\"edge-box\", \"edge-board\"]\nserial = ";
    change_settings(&bench, "serial = ", names);
    let service = bench.serve();
    for (device, serial) in [(&mut device, "SN-1"), (&mut other, "SN-2")] {
        device.model = "edge-box-2".to_owned();
        device.accepts(&device.register(&service, serial));
    }
}
