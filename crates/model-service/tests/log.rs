//! What was issued and imported is in the log of the service.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::process::Command;

use common::device::Device;
use common::http::Request;
use common::{ASSERTIONS, Bench, PROGRAM, TOKEN, serve_by};

#[test]
fn issuing_and_importing_leave_a_line() {
    let bench = Bench::new();
    let log = bench.path("log");
    let mut command = Command::new(PROGRAM);
    command
        .args(["serve", "--config"])
        .arg(bench.path("settings.toml"))
        .env("RUST_LOG", "info")
        .stderr(File::create(&log).unwrap());
    let service = serve_by(&mut command);
    let device = Device::new("p256");
    assert_eq!(service.import(&device.identity()).status, 200);
    assert_eq!(service.import("garbage").status, 422);
    device.accepts(&device.register(&service, "SN-1"));
    drop(service);
    let log = fs::read_to_string(log).unwrap();
    let has = |parts: &[&str]| {
        log.lines()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    };
    assert!(has(&["imported", "token import-token", "new=1"]), "{log}");
    assert!(
        has(&["refused to import", "token import-token", "refused=1"]),
        "{log}"
    );
    assert!(
        has(&[
            "issued a serial",
            "SN-1",
            "edge-box",
            "127.0.0.1",
            &device.digest()
        ]),
        "{log}"
    );
}

#[test]
fn guessed_tokens_are_slowed_and_logged() {
    let bench = Bench::new();
    let log = bench.path("log");
    let mut command = Command::new(PROGRAM);
    command
        .args(["serve", "--config"])
        .arg(bench.path("settings.toml"))
        .env("RUST_LOG", "info")
        .stderr(File::create(&log).unwrap());
    let service = serve_by(&mut command);
    let identity = Device::new("p256").identity();
    let import = |token: &str| {
        let request = Request::post("/v1/hardware-identities", identity.as_str());
        let request = request.header("content-type", ASSERTIONS);
        service.send(&request.header("authorization", &format!("Bearer {token}")))
    };
    // Right tokens do not count.
    assert!((0..20).all(|_| import(TOKEN).status == 200));
    let answers: Vec<_> = (0..100).map(|_| import("wrong")).collect();
    let refused = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!(refused(401) + refused(429), 100);
    assert!(refused(429) > 50, "{}", refused(429));
    answers[99].refused(429, "too-many-tokens");
    assert_eq!(answers[99].header("retry-after"), Some("60"));
    import(TOKEN).refused(429, "too-many-tokens");
    // Nor in another place.
    let show = Request::get("/v1/identities/x").header("authorization", "Bearer other");
    service.send(&show).refused(429, "too-many-tokens");
    drop(service);
    let log = fs::read_to_string(log).unwrap();
    let lines = log.lines().filter(|line| line.contains("the token is wrong"));
    let lines: Vec<_> = lines.collect();
    assert!(lines.len() >= 10 && lines.len() < 50, "{log}");
    assert!(
        lines.iter().all(|line| line.contains("address=127.0.0.1")),
        "{log}"
    );
}
