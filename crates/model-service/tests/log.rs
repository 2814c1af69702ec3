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

/// Starts a service that writes its log to the file `log`.
fn logging(bench: &Bench, arguments: &[&str]) -> common::Service {
    let mut command = Command::new(PROGRAM);
    command
        .args(["serve", "--config"])
        .arg(bench.path("settings.toml"))
        .args(arguments)
        .env("RUST_LOG", "info")
        .stderr(File::create(bench.path("log")).unwrap());
    serve_by(&mut command)
}

#[test]
fn lines_of_a_request_have_its_id() {
    let device = Device::new("p256");
    for (top, arguments) in [
        ("", &["--log-format", "json"][..]),
        ("log-format = \"json\"", &[]),
    ] {
        let bench = Bench::with(top, "");
        bench.import_text(&device.identity());
        let service = logging(&bench, arguments);
        let answer = device.register(&service, "SN-1");
        device.accepts(&answer);
        let id = answer.header("x-request-id").unwrap().to_owned();
        drop(service);
        let log = fs::read_to_string(bench.path("log")).unwrap();
        let lines: Vec<serde_json::Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let of_request: Vec<_> = lines
            .iter()
            .filter(|line| line["span"]["id"] == id.as_str())
            .map(|line| line["message"].as_str().unwrap())
            .collect();
        assert_eq!(of_request, ["issued a serial", "answered"], "{log}");
        let answered = lines.iter().rfind(|line| line["message"] == "answered").unwrap();
        assert_eq!(
            (&answered["status"], &answered["path"]),
            (&201.into(), &"/v1/serial".into())
        );
    }
}

/// A request with the headers that a proxy sets.
fn forwarded(request: Request, client: &str) -> Request {
    request
        .header("x-forwarded-for", client)
        .header("x-request-id", "id-of-the-proxy")
}

#[test]
fn only_a_trusted_proxy_names_its_client() {
    for (top, trusted) in [("trusted-proxies = [\"127.0.0.0/8\"]", true), ("", false)] {
        let bench = Bench::with(top, "requests-per-minute = 3\nlimit-loopback = true");
        let service = logging(&bench, &[]);
        let wrong = |client: &str| {
            let request = Request::get("/v1/identities").header("authorization", "Bearer wrong");
            service.send(&forwarded(request, client))
        };
        let answer = wrong("198.51.100.1, 192.0.2.7");
        answer.refused(401, "unauthorized");
        assert_eq!(answer.header("x-request-id") == Some("id-of-the-proxy"), trusted);
        // The limit on requests is that of each client.
        for _ in 0..2 {
            wrong("192.0.2.7").refused(401, "unauthorized");
        }
        wrong("192.0.2.7").refused(429, "rate-limit");
        let other = wrong("192.0.2.8");
        match trusted {
            true => other.refused(401, "unauthorized"),
            false => other.refused(429, "rate-limit"),
        }
        drop(service);
        let log = fs::read_to_string(bench.path("log")).unwrap();
        let address = if trusted {
            "address=192.0.2.7"
        } else {
            "address=127.0.0.1"
        };
        let refused = |line: &&str| line.contains("the token is wrong") && line.contains(address);
        assert_eq!(log.lines().filter(refused).count(), 3, "{log}");
        assert_eq!(log.contains("192.0.2."), trusted, "{log}");
    }
}

#[test]
fn wrong_tokens_are_counted_for_each_client_of_a_proxy() {
    let bench = Bench::with("trusted-proxies = [\"127.0.0.1/32\"]", "");
    let service = logging(&bench, &[]);
    let with = |client: &str, token: &str| {
        let request = Request::post("/v1/hardware-identities", "").header("content-type", ASSERTIONS);
        let request = request.header("authorization", &format!("Bearer {token}"));
        service.send(&forwarded(request, client))
    };
    for _ in 0..10 {
        with("192.0.2.7", "guess").refused(401, "unauthorized");
    }
    with("192.0.2.7", TOKEN).refused(429, "too-many-tokens");
    assert_eq!(with("192.0.2.8", TOKEN).status, 200);
}
