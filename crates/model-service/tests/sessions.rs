//! Sessions of devices: given for a signed nonce, used, ended and got again; and who gets none.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::thread;

use common::device::Device;
use common::hsm::until;
use common::http::Request;
use common::session::{NONCES, SESSIONS, SessionDevice, resource, serial_by, session_nonce, switch_on};
use common::{Bench, Service, model, on_postgres};
use serde_json::json;

/// A bench with a device that has the serial `SN-1` in a model with sessions.
struct World {
    bench: Bench,
    service: Service,
    identity: Device,
    device: SessionDevice,
}

impl World {
    fn new() -> Self {
        Self::with("", "")
    }

    fn with(top: &str, limits: &str) -> Self {
        let bench = Bench::with(top, limits);
        switch_on(&bench);
        let identity = Device::new("p256");
        bench.import_text(&identity.identity());
        let service = bench.serve();
        let device = SessionDevice::registered(&service, &identity, "SN-1");
        Self {
            bench,
            service,
            identity,
            device,
        }
    }
}

#[test]
fn a_session_and_its_use() {
    let world = World::new();
    let (service, device) = (&world.service, &world.device);
    let session = device.session(service);
    for header in ["Snap-Device-Authorization", "X-Device-Authorization"] {
        let value = format!("Macaroon root=\"{session}\"");
        let answer = service.send(&Request::get("/api/v1/device").header(header, &value));
        assert_eq!(answer.status, 200, "{answer:?}");
        let json = answer.json();
        assert_eq!(
            (&json["brand-id"], &json["model"], &json["serial"]),
            (&json!("brand-acme"), &json!("edge-box"), &json!("SN-1"))
        );
        assert_eq!(json["device-key-sha3-384"], common::key_id("device"));
        let expires: jiff::Timestamp = json["expires"].as_str().unwrap().parse().unwrap();
        let left = expires.duration_since(jiff::Timestamp::now()).as_secs();
        assert!((86_000..=86_400).contains(&left), "{left}");
    }
    let metrics = service.get("/metrics").body;
    assert!(
        metrics.contains("model_service_device_sessions_total{outcome=\"given\"} 1"),
        "{metrics}"
    );
}

/// snapd looks for the header and asks again with a new session.
#[test]
fn a_session_ends_and_is_refreshed() {
    let world = World::with("session-seconds = 1", "");
    let (service, device) = (&world.service, &world.device);
    let session = device.session(service);
    until(|| resource(service, &session).status != 200);
    let ended = resource(service, &session);
    ended.refused(401, "device-authorization-needs-refresh");
    let refresh = Some("Macaroon refresh_device_session=1");
    assert_eq!(ended.header("www-authenticate"), refresh);
    let body = device.body(&session_nonce(service)).to_string();
    let old = format!("Macaroon root=\"{session}\"");
    let answer = service.send(&Request::post(SESSIONS, body).header("X-Device-Authorization", &old));
    assert_eq!(answer.status, 200, "{answer:?}");
    // Not a session at all, or none.
    for answer in [
        resource(service, "bm90IGEgbWFjYXJvb24"),
        service.get("/api/v1/device"),
    ] {
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("www-authenticate"), refresh);
    }
}

#[test]
fn nonces_are_valid_once_and_for_a_session() {
    let World {
        bench,
        service,
        identity,
        device,
    } = World::new();
    let nonce = session_nonce(&service);
    assert_eq!(device.ask_with(&service, &nonce).status, 200);
    device.ask_with(&service, &nonce).refused(403, "nonce-used");
    device.ask_with(&service, "another").refused(403, "nonce-unknown");
    // The other kind of nonce, in both directions.
    device
        .ask_with(&service, &service.nonce())
        .refused(403, "nonce-unknown");
    let stream = identity.stream(&session_nonce(&service), "SN-1");
    service.serial(&stream).refused(403, "nonce-unknown");
    let nonce = session_nonce(&service);
    bench.execute("UPDATE session_nonces SET expires = 1");
    device.ask_with(&service, &nonce).refused(403, "nonce-expired");
}

#[test]
fn a_nonce_gives_one_of_many_requests_a_session() {
    let world = World::new();
    let (service, device) = (&world.service, &world.device);
    let nonce = session_nonce(service);
    let statuses = at_once(16, |_| device.ask_with(service, &nonce).status);
    let given = statuses.iter().filter(|status| **status == 200).count();
    let refused = statuses.iter().filter(|status| **status == 403).count();
    assert_eq!((given, refused), (1, 15));
}

#[test]
fn the_oldest_nonces_are_deleted_for_new_ones() {
    let world = World::with("", "open-nonces = 3");
    let (service, device) = (&world.service, &world.device);
    let nonces: Vec<_> = (0..4).map(|_| session_nonce(service)).collect();
    device.ask_with(service, &nonces[0]).refused(403, "nonce-unknown");
    assert_eq!(device.ask_with(service, &nonces[1]).status, 200);
}

#[test]
fn devices_that_get_no_session() {
    let World {
        service,
        device,
        bench,
        ..
    } = World::new();
    let refused = |changed: SessionDevice, code: &str| changed.ask(&service).refused(403, code);
    let base = || device.clone();
    // The right serial, another key; and another device's serial, the right key.
    refused(
        SessionDevice {
            key: "brand",
            ..base()
        },
        "session-request-signature",
    );
    let other = Device {
        device_key: "issuer",
        ..Device::fresh("SN-2")
    };
    bench.import_text(&other.identity());
    let other = SessionDevice::registered(&service, &other, "SN-2");
    refused(
        SessionDevice {
            serial: other.serial.clone(),
            ..base()
        },
        "session-device",
    );
    refused(
        SessionDevice {
            key: "device",
            ..other.clone()
        },
        "session-request-signature",
    );
    assert_eq!(
        SessionDevice {
            key: "issuer",
            ..other
        }
        .ask(&service)
        .status,
        200
    );
    // Signed by an account that the model does not list, and by a key that nobody trusts.
    refused(
        SessionDevice::new("SN-1", &serial_by("acme", "issuer", "SN-1")),
        "session-serial-authority",
    );
    refused(
        SessionDevice::new("SN-1", &serial_by("brand-acme", "device", "SN-1")),
        "session-key-untrusted",
    );
    refused(
        SessionDevice {
            model: model("edge-box-2"),
            ..base()
        },
        "session-device",
    );
    let time = "2026-01-01T00:00:00Z".to_owned();
    refused(SessionDevice { time, ..base() }, "session-time");
    // Issued by another service of the brand.
    let elsewhere = SessionDevice::new("SN-3", &serial_by("brand-acme", "brand", "SN-3"));
    assert_eq!(elsewhere.ask(&service).status, 200);
    // The serial that the service gave to another key.
    refused(
        SessionDevice::new("SN-2", &serial_by("brand-acme", "brand", "SN-2")),
        "session-serial-replaced",
    );
}

#[test]
fn bodies_that_are_not_requests() {
    let world = World::new();
    let (service, device) = (&world.service, &world.device);
    let mut swapped = device.body(&session_nonce(service));
    swapped["serial-assertion"] = "type: serial".into();
    let mut missing = swapped.clone();
    missing.as_object_mut().unwrap().remove("model-assertion");
    for body in ["", "{}", "[]", &swapped.to_string(), &missing.to_string()] {
        service
            .send(&Request::post(SESSIONS, body))
            .refused(400, "session-body");
    }
    let large = "x".repeat(300_000);
    service
        .send(&Request::post(SESSIONS, large))
        .refused(413, "too-large");
    service.get(SESSIONS).refused(405, "method");
}

#[test]
fn a_blocked_device_loses_its_session() {
    let World {
        bench,
        service,
        identity,
        device,
    } = World::new();
    let session = device.session(&service);
    let change = |change: &str| {
        let output = bench.run(&["identity", change], &[&identity.digest(), "--reason", "test"]);
        assert!(output.status.success(), "{output:?}");
    };
    change("block");
    device.ask(&service).refused(403, "identity-blocked");
    resource(&service, &session).refused(403, "identity-blocked");
    change("unblock");
    assert_eq!(resource(&service, &session).status, 200);
    device.session(&service);
    let number = ["brand-acme", "edge-box", "SN-1", "--reason", "x"];
    assert!(bench.run(&["serial", "release"], &number).status.success());
    device.ask(&service).refused(403, "session-serial-replaced");
    resource(&service, &session).refused(403, "session-serial-replaced");
}

#[test]
fn sessions_are_off_by_default() {
    let bench = Bench::new();
    let identity = Device::new("p256");
    bench.import_text(&identity.identity());
    let service = bench.serve();
    let off = service.send(&Request::post(NONCES, ""));
    off.refused(404, "device-sessions-off");
    let device = SessionDevice::registered(&service, &identity, "SN-1");
    device
        .ask_with(&service, "nonce")
        .refused(403, "device-sessions-off");
    drop(service);
    // On for another model alone.
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let settings = settings.replace(
        "provisioning = \"api-key\"\n",
        "provisioning = \"api-key\"\ndevice-sessions = true\n",
    );
    bench.write("settings.toml", settings.as_bytes());
    let service = bench.serve();
    device.ask(&service).refused(403, "device-sessions-off");
}

/// With PostgreSQL two replicas; with SQLite one service after the other.
#[test]
fn sessions_and_nonces_are_those_of_all_replicas() {
    let World {
        bench,
        mut service,
        device,
        ..
    } = World::new();
    let session = device.session(&service);
    let nonce = session_nonce(&service);
    if !on_postgres() {
        service.kill();
    }
    let other = bench.serve();
    assert_eq!(resource(&other, &session).status, 200);
    assert_eq!(device.ask_with(&other, &nonce).status, 200);
    if on_postgres() {
        device.ask_with(&service, &nonce).refused(403, "nonce-used");
        let session = device.session(&other);
        assert_eq!(resource(&service, &session).status, 200);
    }
}

#[test]
fn other_services_of_the_brand_verify_devices() {
    let World {
        bench,
        mut service,
        device,
        ..
    } = World::new();
    service.kill();
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let token = |role: &str| format!("[[token]]\nname = \"{role}\"\nrole = \"{role}\"\nfile = \"{role}\"\n");
    for role in ["verify", "read"] {
        bench.write(role, format!("the-token-of-{role}").as_bytes());
    }
    let settings = format!("{settings}\n{}{}", token("verify"), token("read"));
    bench.write("settings.toml", settings.as_bytes());
    let service = bench.serve();
    let session = device.session(&service);
    let post = |path: &str, role: &str, body: String| {
        let token = format!("Bearer the-token-of-{role}");
        service.send(&Request::post(path, body).header("authorization", &token))
    };
    let verify = |session: &str| json!({ "session": session }).to_string();
    for given in [session.clone(), format!("Macaroon root=\"{session}\"")] {
        let answer = post("/v1/verify-session", "verify", verify(&given));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json(), resource(&service, &session).json());
    }
    post("/v1/verify-session", "verify", verify("other")).refused(422, "device-authorization-needs-refresh");
    post("/v1/verify-session", "read", verify(&session)).refused(403, "token-role");
    post("/v1/verify-session", "none", verify(&session)).refused(401, "unauthorized");
    let nonce = session_nonce(&service);
    let body = device.body(&nonce).to_string();
    let answer = post("/v1/verify-device", "verify", body.clone());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["serial"], "SN-1");
    post("/v1/verify-device", "verify", body).refused(422, "nonce-used");
    post("/v1/verify-device", "read", String::new()).refused(403, "token-role");
}

#[test]
fn sixty_four_devices_at_once() {
    let world = World::new();
    let service = &world.service;
    let devices: Vec<_> = (0..64)
        .map(|index| {
            let number = format!("AT-ONCE-{index}");
            SessionDevice::new(&number, &serial_by("brand-acme", "brand", &number))
        })
        .collect();
    let sessions = at_once(devices.len(), |index| devices[index].session(service));
    for (device, session) in devices.iter().zip(&sessions) {
        assert_eq!(
            resource(service, session).json()["serial"],
            device.number.as_str()
        );
    }
}

/// Calls `work` in this number of threads at once.
fn at_once<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|index| scope.spawn(move || work(index))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
