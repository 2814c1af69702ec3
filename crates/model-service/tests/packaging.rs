//! What is packaged: systemd's sockets and notifications, and the configuration of HAProxy.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use common::disk::on_a_small_disk;
use common::haproxy::{Haproxy, free_address, packaged};
use common::hsm::until;
use common::http::{Answer, Request};
use common::postgres::Server;
use common::{Bench, PROGRAM, on_postgres, serve_by};

#[test]
fn sockets_of_systemd_are_used_and_it_is_notified() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // It waits until the service accepts it.
    let mut early = TcpStream::connect(address).unwrap();
    early.write_all(&Request::get("/health").bytes()).unwrap();
    let notifications = UnixDatagram::bind(bench.path("notify")).unwrap();
    let limit = std::time::Duration::from_secs(60);
    notifications.set_read_timeout(Some(limit)).unwrap();
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "exec 3<&0; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve --config \"$1\"",
            PROGRAM,
        ])
        .arg(bench.path("settings.toml"))
        .env("NOTIFY_SOCKET", bench.path("notify"))
        .stdin(Stdio::from(OwnedFd::from(listener)));
    let mut service = serve_by(&mut command);
    assert_eq!(service.address, address);
    assert_eq!(Answer::read(&mut early).status, 200);
    let notified = || {
        let mut message = [0; 64];
        let length = notifications.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).trim().to_owned()
    };
    assert_eq!(notified(), "READY=1");
    let pid = nix::unistd::Pid::from_raw(service.child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(notified(), "STOPPING=1");
    assert!(service.child.wait().unwrap().success());
}

#[test]
fn haproxy_forwards_devices_and_names_them() {
    let bench = Bench::with("trusted-proxies = [\"127.0.0.1/32\"]", "");
    let mut command = Command::new(PROGRAM);
    command
        .args(["serve", "--config"])
        .arg(bench.path("settings.toml"))
        .env("RUST_LOG", "info")
        .stderr(fs::File::create(bench.path("log")).unwrap());
    let service = serve_by(&mut command);
    let proxy = Haproxy::start(&bench, &[service.address], &[]);
    let address = proxy.devices;
    let request = Request::post("/v1/request-id", "")
        .header("x-forwarded-for", "192.0.2.66")
        .header("x-request-id", "chosen-by-the-client");
    let answer = request.send(address);
    assert_eq!(answer.status, 200);
    let id = answer.header("x-request-id").unwrap().to_owned();
    assert_eq!(id.len(), "00000000-0000-0000-0000-000000000000".len());
    for path in ["/", "/v1/identities", "/metrics"] {
        assert_eq!(Request::get(path).send(address).status, 404, "{path}");
    }
    drop(service);
    let log = fs::read_to_string(bench.path("log")).unwrap();
    assert!(
        log.lines()
            .any(|line| line.contains(&id) && line.contains("path=\"/v1/request-id\"")),
        "{log}"
    );
    assert!(
        !log.contains("192.0.2.66") && !log.contains("chosen-by-the-client"),
        "{log}"
    );
}

#[test]
fn haproxy_limits_requests_so_that_snapd_asks_again_for_a_nonce() {
    let bench = Bench::with("trusted-proxies = [\"127.0.0.1/32\"]", "");
    let service = bench.serve();
    let proxy = Haproxy::start(&bench, &[service.address], &[("gt 600", "gt 4")]);
    let address = proxy.devices;
    for path in [
        "/v1/request-id",
        "/request-id",
        "/v1/request-id",
        "/v1/request-id",
    ] {
        assert_eq!(Request::post(path, "").send(address).status, 200, "{path}");
    }
    for (path, status) in [
        ("/v1/request-id", 503),
        ("/request-id", 503),
        ("/v1/serial", 429),
        ("/serial", 429),
        ("/", 429),
    ] {
        assert_eq!(Request::post(path, "").send(address).status, status, "{path}");
    }
}

#[test]
fn operators_reach_a_replica_that_is_not_ready() {
    // The disk would not be that of the database.
    if on_postgres() {
        return;
    }
    let bench = Bench::new();
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let moved = settings.replace("database.sqlite", "disk/database.sqlite");
    bench.write("settings.toml", moved.as_bytes());
    let create = "\"$2\" init-store --config \"$3\" > /dev/null &&";
    let (service, disk) = on_a_small_disk(&bench, "disk", "4m", create);
    fs::write(disk.join("filler"), vec![0; 4 * 1024 * 1024]).unwrap_err();
    until(|| service.get("/ready").status == 503);
    let quick = [("inter 2s", "inter 50ms")];
    let proxy = Haproxy::start(&bench, &[service.address], &quick);
    // HAProxy's own answer, without the header of the service.
    let nonce = Request::post("/v1/request-id", "");
    until(|| {
        let answer = nonce.send(proxy.devices);
        answer.status == 503 && answer.header("x-request-id").is_none()
    });
    assert_eq!(Request::get("/login").send(proxy.operators).status, 200);
}

#[test]
fn the_sockets_of_systemd_are_for_this_machine_alone() {
    let unit = fs::read_to_string(packaged("systemd/model-service.socket")).unwrap();
    let addresses: Vec<SocketAddr> = unit
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix("ListenStream="))
        .map(|address| address.parse().unwrap())
        .collect();
    assert_eq!(addresses.len(), 2);
    assert!(
        addresses.iter().all(|address| address.ip().is_loopback()),
        "{addresses:?}"
    );
}

/// With other addresses and names of the database, and the keys of a new bench.
#[test]
fn check_accepts_the_packaged_settings_of_a_replica() {
    let server: &'static Server = Box::leak(Box::new(Server::start(false)));
    let database = server.database();
    let directory = tempfile::tempdir().unwrap();
    let bench = directory.path().join("bench");
    let url = database.url();
    let init = Command::new(PROGRAM)
        .arg("init")
        .arg(&bench)
        .args(["--database", &url])
        .output();
    assert!(init.as_ref().unwrap().status.success(), "{init:?}");
    let port = free_address("127.0.0.1").port();
    server.control(&format!("tls {port}"));
    let password = bench.join("secrets/database-password");
    fs::copy(bench.join("secrets/page-password"), &password).unwrap();
    fs::write(password, "the-password").unwrap();
    let name = url.rsplit('/').next().unwrap();
    let mut settings = fs::read_to_string(packaged("haproxy/model-service.toml")).unwrap();
    for (packaged, value) in [
        (
            "postgres://model_service@10.0.0.21:5432/model_service?sslmode=verify-full&",
            format!("postgres://tests@127.0.0.1:{port}/{name}?sslmode=verify-full&"),
        ),
        (
            "/etc/model-service/postgresql-ca.pem",
            server.certificate().to_str().unwrap().to_owned(),
        ),
    ] {
        assert!(settings.contains(packaged), "{packaged}");
        settings = settings.replace(packaged, &value);
    }
    fs::write(bench.join("model-service.toml"), settings).unwrap();
    let checked = Command::new(PROGRAM)
        .args(["check", "--json", "--config"])
        .arg(bench.join("model-service.toml"))
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(
        (&report["errors"], &report["warnings"]),
        (&0.into(), &0.into()),
        "{report:#}"
    );
}
