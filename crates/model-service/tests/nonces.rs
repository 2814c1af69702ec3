//! Nonces: valid for a limited time and once, whatever the outcome of the request.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::thread;

use common::device::Device;
use common::http::Request;
use common::{Bench, text_vector};
use serde_json::json;

#[test]
fn nonces_are_256_bits_and_never_the_same() {
    let bench = Bench::new();
    let service = bench.serve();
    let nonces: HashSet<_> = (0..100).map(|_| service.nonce()).collect();
    assert_eq!(nonces.len(), 100);
    // Base64url without padding.
    assert!(nonces.iter().all(|nonce| nonce.len() == 43));
}

#[test]
fn a_nonce_that_was_not_issued() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    for nonce in ["REQ-0123456789", &"x".repeat(100_000)] {
        service
            .serial(&device.stream(nonce, "SN-1"))
            .refused(403, "nonce-unknown");
    }
}

#[test]
fn a_replayed_request_is_refused() {
    let bench = Bench::new();
    let mut service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    let stream = device.stream(&service.nonce(), "SN-1");
    device.accepts(&service.serial(&stream));
    service.serial(&stream).refused(403, "nonce-used");
    service.kill();
    bench.serve().serial(&stream).refused(403, "nonce-used");
}

#[test]
fn a_request_that_fails_later_consumes_the_nonce() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    let stream = device.stream(&service.nonce(), "SN-1");
    service.serial(&stream).refused(403, "identity-unknown");
    bench.import_text(&device.identity());
    service.serial(&stream).refused(403, "nonce-used");
    device.accepts(&device.register(&service, "SN-1"));
}

#[test]
fn an_invalid_request_does_not_consume_the_nonce() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    let stream = device.stream(&service.nonce(), "SN-1");
    service
        .serial(&stream.replacen("SN-1", "SN-2", 1))
        .refused(403, "serial-request-signature");
    device.accepts(&service.serial(&stream));
}

#[test]
fn an_expired_nonce() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    let stream = device.stream(&service.nonce(), "SN-1");
    // As if it had been issued an hour ago.
    bench.execute("UPDATE nonces SET expires = expires - 3600, issued = issued - 3600");
    service.serial(&stream).refused(403, "nonce-expired");
    assert_eq!(bench.count("serials"), 0);
}

#[test]
fn one_of_concurrent_requests_with_one_nonce_wins() {
    let bench = Bench::new();
    let service = bench.serve();
    let devices: Vec<Device> = (0..4)
        .map(|index| Device::fresh(&format!("hw-{index}")))
        .collect();
    let identities: Vec<_> = devices.iter().map(Device::identity).collect();
    bench.import_text(&identities.join("\n"));
    for round in 0..5 {
        let nonce = service.nonce();
        let streams = devices.iter().enumerate();
        let streams: Vec<_> = streams
            .map(|(index, device)| device.stream(&nonce, &format!("SN-{round}-{index}")))
            .collect();
        let statuses: Vec<u16> = thread::scope(|scope| {
            let threads: Vec<_> = streams
                .iter()
                .map(|stream| scope.spawn(|| service.serial(stream).status))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let won = statuses.iter().filter(|status| **status < 300).count();
        let refused = statuses.iter().filter(|status| **status == 403).count();
        assert_eq!((won, refused), (1, 3), "{statuses:?}");
    }
}

#[test]
fn one_of_concurrent_devices_with_one_serial_wins() {
    let bench = Bench::new();
    let service = bench.serve();
    let devices: Vec<Device> = (0..4)
        .map(|index| Device::fresh(&format!("hw-{index}")))
        .collect();
    let identities: Vec<_> = devices.iter().map(Device::identity).collect();
    bench.import_text(&identities.join("\n"));
    let streams: Vec<_> = devices
        .iter()
        .map(|device| device.stream(&service.nonce(), "SN-1"))
        .collect();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let threads: Vec<_> = streams
            .iter()
            .map(|stream| scope.spawn(|| service.serial(stream).status))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(
        statuses.iter().filter(|status| **status == 201).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 409).count(),
        3,
        "{statuses:?}"
    );
    assert_eq!((bench.count("serials"), bench.count("issued")), (1, 1));
}

#[test]
fn the_oldest_nonces_are_deleted() {
    let bench = Bench::with("", "open-nonces = 2");
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    let nonces: Vec<_> = (0..3).map(|_| service.nonce()).collect();
    assert_eq!(bench.count("nonces"), 2);
    service
        .serial(&device.stream(&nonces[0], "SN-1"))
        .refused(403, "nonce-unknown");
    for nonce in &nonces[1..] {
        device.accepts(&service.serial(&device.stream(nonce, "SN-1")));
    }
}

#[test]
fn too_many_requests_from_one_address() {
    let bench = Bench::with("", "requests-per-minute = 3\nlimit-loopback = true");
    let service = bench.serve();
    for _ in 0..3 {
        service.nonce();
    }
    // Above 500, so that snapd asks for a nonce again; below 500 for a serial, where its retry
    // would fail.
    let answer = service.send(&Request::post("/request-id", ""));
    answer.refused(503, "rate-limit");
    assert_eq!(answer.header("retry-after"), Some("60"));
    let stream = Device::new("p256").stream_with("nonce", "SN-1", json!({}));
    service.serial(&stream).refused(429, "rate-limit");
    service
        .import(&text_vector("hardware-identity-p256.assert"))
        .refused(429, "rate-limit");
}
