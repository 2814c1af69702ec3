//! Requests of devices while the database or the serial key is briefly away: they wait, and get an
//! answer when it is back.

#![allow(clippy::unwrap_used)]

mod common;

use std::thread;

use common::device::Device;
use common::hsm::{HsmBench, until};
use common::http::Request;
use common::postgres::Server;
use common::session::{NONCES, SessionDevice, resource, session_nonce, switch_on};
use common::{Bench, Service};

/// A bench on a server of its own, which a test can stop.
fn with_server(limits: &str) -> (&'static Server, Bench) {
    let server: &'static Server = Box::leak(Box::new(Server::start(false)));
    let bench = Bench::on(Some(server.database()), "", limits);
    switch_on(&bench);
    (server, bench)
}

/// Waits until this number of requests wait.
fn until_waiting(service: &Service, count: usize) {
    let line = format!("model_service_waiting_requests {count}\n");
    until(|| service.get("/metrics").body.contains(&line));
}

#[test]
fn requests_wait_for_the_database() {
    let (server, bench) = with_server("");
    let service = bench.serve();
    let (first, second) = (Device::new("p256"), Device::new("p384"));
    bench.import_text(&format!("{}\n{}", first.identity(), second.identity()));
    let device = SessionDevice::registered(&service, &first, "SN-1");
    let session = device.session(&service);
    let (session_nonce, stream) = (session_nonce(&service), second.stream(&service.nonce(), "SN-2"));
    server.control("stop");
    thread::scope(|scope| {
        let serial = scope.spawn(|| service.serial(&stream));
        let nonce = scope.spawn(|| service.send(&Request::post("/v1/request-id", "")));
        let other_nonce = scope.spawn(|| service.send(&Request::post(NONCES, "")));
        let given = scope.spawn(|| device.ask_with(&service, &session_nonce));
        let used = scope.spawn(|| resource(&service, &session));
        until_waiting(&service, 5);
        server.control("start");
        assert_eq!(second.accepts(&serial.join().unwrap()).0, "SN-2");
        for answer in [nonce, other_nonce, given, used] {
            let answer = answer.join().unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    });
    until_waiting(&service, 0);
    assert_eq!(bench.count("issued WHERE serial = 'SN-2'"), 1);
    // Each nonce was used, and used once.
    service.serial(&stream).refused(403, "nonce-used");
    device
        .ask_with(&service, &session_nonce)
        .refused(403, "nonce-used");
}

#[test]
fn requests_beyond_the_places_are_refused_at_once() {
    let (server, bench) = with_server("waiting-requests = 1");
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    let stream = device.stream(&service.nonce(), "SN-1");
    server.control("stop");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| service.serial(&stream));
        until_waiting(&service, 1);
        let beyond = service.send(&Request::post("/v1/request-id", ""));
        beyond.refused(503, "unavailable");
        assert_eq!(beyond.header("retry-after"), Some("60"));
        server.control("start");
        device.accepts(&waiting.join().unwrap());
    });
}

#[test]
fn a_database_that_stays_away_is_waited_for_in_vain() {
    let (server, bench) = with_server("wait-seconds = 1");
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    let stream = device.stream(&service.nonce(), "SN-1");
    server.control("stop");
    service.serial(&stream).refused(503, "unavailable");
    server.control("start");
    until(|| service.get("/ready").status == 200);
    device.accepts(&service.serial(&stream));
}

#[test]
fn requests_wait_for_the_serial_key() {
    let hsm = HsmBench::new("");
    let devices = [Device::new("p256"), Device::new("p384")];
    hsm.bench
        .import_text(&devices.each_ref().map(Device::identity).join("\n"));
    let service = hsm.serve();
    hsm.remove();
    thread::scope(|scope| {
        let requests = ["SN-1", "SN-2"].map(|serial| {
            let (service, device) = (&service, &devices[usize::from(serial == "SN-2")]);
            scope.spawn(move || device.register(service, serial))
        });
        until_waiting(&service, 2);
        hsm.put_back();
        for (device, request) in devices.iter().zip(requests) {
            device.accepts(&request.join().unwrap());
        }
    });
    assert_eq!(hsm.bench.count("issued"), 2);
}

/// Nobody can help before an administrator has corrected the PIN.
#[test]
fn nothing_waits_for_a_key_that_is_lost_for_good() {
    let hsm = HsmBench::new("");
    let device = Device::new("p256");
    hsm.bench.import_text(&device.identity());
    let service = hsm.serve();
    hsm.bench.write("pin", b"654322");
    for process in common::hsm::signing_processes(&service) {
        let process = nix::unistd::Pid::from_raw(process as i32);
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    device
        .register(&service, "SN-1")
        .refused(503, "serial-key-unavailable");
    assert!(
        service
            .get("/metrics")
            .body
            .contains("model_service_waiting_requests 0\n")
    );
}
