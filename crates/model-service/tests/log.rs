//! What was issued and imported is in the log of the service.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::process::Command;

use common::device::Device;
use common::{Bench, PROGRAM, serve_by};

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
