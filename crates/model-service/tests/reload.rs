//! Settings that are read again on SIGHUP.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::device::Device;
use common::http::Request;
use common::{ASSERTIONS, Bench, LogLines, PROGRAM, Service, serve_by};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn serve(bench: &Bench) -> (Service, LogLines) {
    let mut command = Command::new(PROGRAM);
    command
        .args(["serve", "--config"])
        .arg(bench.path("settings.toml"))
        .env("RUST_LOG", "info")
        .stderr(Stdio::piped());
    let mut service = serve_by(&mut command);
    let log = LogLines::of(&mut service);
    (service, log)
}

fn hang_up(service: &Service) {
    kill(Pid::from_raw(service.child.id() as i32), Signal::SIGHUP).unwrap();
}

const DONE: &str = "the settings were read again";

fn model_table(name: &str) -> String {
    format!(
        "[[model]]\nbrand-id = \"brand-acme\"\nmodel = \"{name}\"\nprovisioning = \"hardware-identity\"\n\
         issuers = [\"acme\"]\nhardware-names = [\"edge-box\"]\nserial-key = \"serial.pem\"\n"
    )
}

#[test]
fn a_model_is_added_and_changed_while_the_service_runs() {
    let bench = Bench::new();
    let (service, mut log) = serve(&bench);
    let mut device = Device::fresh("SN-1");
    bench.import_text(&device.identity());
    device.model = "edge-box-3".to_owned();
    device.register(&service, "SN-1").refused(403, "model-unknown");

    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let more = format!("{settings}\n{}", model_table("edge-box-3"));
    bench.write("settings.toml", more.as_bytes());
    hang_up(&service);
    log.wait_for(DONE);
    device.accepts(&device.register(&service, "SN-1"));

    // Another rule, for a device that has no serial yet.
    let other = Device::fresh("SN-2");
    bench.import_text(&other.identity());
    let ruled = settings.replace("\"proposed\"", "\"proposed\"\nserial-pattern = \"X-.*\"");
    bench.write("settings.toml", ruled.as_bytes());
    hang_up(&service);
    log.wait_for(DONE);
    other
        .register(&service, "SN-2")
        .refused(400, "serial-pattern-mismatch");
    // The model that is not in the settings any more.
    device.register(&service, "SN-1").refused(403, "model-unknown");
}

#[test]
fn a_running_request_ends_with_the_models_that_it_began_with() {
    let bench = Bench::new();
    let (service, mut log) = serve(&bench);
    let device = Device::fresh("SN-1");
    bench.import_text(&device.identity());
    let stream = device.stream(&service.nonce(), "SN-1");
    let request = Request::post("/v1/serial", stream).header("content-type", ASSERTIONS);
    let begun = request.begin(service.address);
    hang_up(&service);
    log.wait_for(DONE);
    assert_eq!(begun.finish().status, 201);
}

#[test]
fn invalid_settings_change_nothing() {
    let bench = Bench::new();
    let (service, mut log) = serve(&bench);
    let good = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let device = Device::fresh("SN-1");
    bench.import_text(&device.identity());
    bench.write("short", b"short");
    for (settings, code) in [
        ("listen = 1".to_owned(), "service-settings-invalid"),
        (format!("{good}\n{}", model_table("edge-box")), "model-duplicate"),
        (good.replace("serial.pem", "none.pem"), "file-unreadable"),
        (
            good.replace("\"brand.account-key\", ", ""),
            "serial-key-without-account-key",
        ),
        (good.replace("= \"token\"", "= \"short\""), "secret-too-short"),
        (good.replace("= \"password\"", "= \"short\""), "secret-too-short"),
    ] {
        bench.write("settings.toml", settings.as_bytes());
        hang_up(&service);
        let line = log.wait_for("the settings were not changed");
        assert!(line.contains(&format!("[{code}]")), "{code}: {line}");
        assert_eq!(service.get("/ready").status, 200);
    }
    device.accepts(&device.register(&service, "SN-1"));
}

#[test]
fn settings_that_need_a_restart_are_named_and_ignored() {
    let bench = Bench::new();
    let (service, mut log) = serve(&bench);
    let good = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let changed = good
        .replace("127.0.0.1:0", "127.0.0.1:1")
        .replace("database = \"", "database = \"other-")
        .replace("[limits]", "[limits]\nopen-nonces = 1");
    bench.write("settings.toml", changed.as_bytes());
    hang_up(&service);
    let line = log.wait_for("need a restart");
    for name in ["database", "limits", "listen"] {
        assert!(line.contains(name), "{name}: {line}");
    }
    assert!(!line.contains("account-keys"), "{line}");
    // They are named until the restart, and not when they are as before.
    bench.write("settings.toml", good.as_bytes());
    hang_up(&service);
    log.wait_for(DONE);
    let before = log.seen().len();
    hang_up(&service);
    log.wait_for(DONE);
    let since = &log.seen()[before..];
    assert!(!since.iter().any(|line| line.contains("restart")), "{since:?}");
    service.nonce();
}

#[test]
fn an_account_key_is_added_and_removed() {
    let bench = Bench::new();
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let without = settings.replace(", \"issuer.account-key\"", "");
    bench.write("settings.toml", without.as_bytes());
    let (service, mut log) = serve(&bench);
    let [first, second] = ["SN-1", "SN-2"].map(Device::fresh);
    assert_eq!(service.import(&first.identity()).status, 422);
    bench.write("settings.toml", settings.as_bytes());
    hang_up(&service);
    log.wait_for(DONE);
    assert_eq!(service.import(&first.identity()).status, 200);
    bench.write("settings.toml", without.as_bytes());
    hang_up(&service);
    log.wait_for(DONE);
    assert_eq!(service.import(&second.identity()).status, 422);
}
