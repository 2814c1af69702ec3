//! The program: `init`, the settings, TLS, timeouts and its end.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use common::device::Device;
use common::hsm::until;
use common::http::Request;
use common::{Bench, PROGRAM, TOKEN, refuses_to_serve};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use snap_assertions::types::{Account, AccountKey, Serial};
use snap_assertions::{LocalSigner, SignOptions, Signer as _, Statement, decode};

fn run(arguments: &[&str], directory: &Path) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

/// Fails unless the program failed for bad input, with this code.
#[track_caller]
fn failed(output: &Output, code: &str) {
    common::failed(output, 1, code);
}

#[test]
fn init_makes_everything_for_a_registration() {
    let place = tempfile::tempdir().unwrap();
    let output = run(
        &[
            "init",
            "bench",
            "--brand-id",
            "my-brand",
            "--issuer-id",
            "my-issuer",
            "--model",
            "my-box",
        ],
        place.path(),
    );
    assert!(output.status.success(), "{output:?}");
    let bench = place.path().join("bench");
    only_for_the_owner(&bench);
    let read = |name: &str| fs::read_to_string(bench.join(name)).unwrap();
    for name in ["brand", "issuer"] {
        let account = decode(read(&format!("assertions/{name}.account")).as_bytes()).unwrap();
        let key = decode(read(&format!("assertions/{name}.account-key")).as_bytes()).unwrap();
        let (account, key) = (
            Account::try_from(&account).unwrap(),
            AccountKey::try_from(&key).unwrap(),
        );
        assert_eq!(account.account_id(), key.account_id());
        assert_eq!(key.public_key().bits(), 4096);
    }

    // Any free port instead of the default.
    let settings = read("model-service.toml").replace("127.0.0.1:8650", "127.0.0.1:0");
    fs::write(bench.join("model-service.toml"), settings).unwrap();
    let service = common::serve(&bench.join("model-service.toml"));
    let signer = |name: &str| LocalSigner::from_pem(&read(&format!("keys/{name}.pem"))).unwrap();
    let sign = |statement, key: &LocalSigner| {
        let statement: Statement = serde_json::from_value(statement).unwrap();
        statement.sign(key, &SignOptions::now()).unwrap().to_string()
    };
    let device = Device::new("p256");
    let mut identity = device.export();
    identity["authority-id"] = "my-issuer".into();
    identity["issuer-id"] = "my-issuer".into();
    identity["hardware-id"] = "SN-1".into();
    identity["hardware-name"] = "my-box".into();
    let request = Request::post("/v1/hardware-identities", sign(identity, &signer("issuer")));
    let request = request.header("content-type", common::ASSERTIONS);
    let token = read("secrets/import-token");
    let answer = service.send(&request.header("authorization", &format!("Bearer {}", token.trim())));
    assert_eq!(answer.status, 200, "{answer:?}");

    let mut statement = device.statement(&service.nonce(), "SN-1");
    statement["brand-id"] = "my-brand".into();
    statement["model"] = "my-box".into();
    let stream = format!(
        "{}\n{}",
        common::sign(statement, "device"),
        read("assertions/my-box.model")
    );
    let answer = service.serial(&stream);
    assert_eq!(answer.status, 201, "{answer:?}");
    let assertion = decode(answer.body.as_bytes()).unwrap();
    let key = decode(read("assertions/serial.account-key").as_bytes()).unwrap();
    AccountKey::try_from(&key)
        .unwrap()
        .verify(&assertion, jiff::Timestamp::now())
        .unwrap();
    assert_eq!(Serial::try_from(&assertion).unwrap().brand_id(), "my-brand");
    assert_eq!(assertion.sign_key_id(), signer("serial").public_key().id());
    // Each secret is accepted in one place only.
    let login = |password: &str| {
        service
            .send(&Request::form("/login", &[("password", password)]))
            .status
    };
    assert_eq!((login(&read("secrets/page-password")), login(&token)), (303, 401));

    let before = fs::read(bench.join("keys/brand.pem")).unwrap();
    failed(&run(&["init", "bench"], place.path()), "directory-not-empty");
    assert_eq!(fs::read(bench.join("keys/brand.pem")).unwrap(), before);
}

fn only_for_the_owner(path: &Path) {
    let metadata = fs::metadata(path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o077, 0, "{}", path.display());
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            only_for_the_owner(&entry.unwrap().path());
        }
    }
}

#[test]
fn init_that_fails_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    failed(
        &run(&["init", "bench", "--model", "No Model"], place.path()),
        "bench-name-invalid",
    );
    fs::write(place.path().join("file"), "").unwrap();
    failed(&run(&["init", "file"], place.path()), "directory-not-empty");
    failed(
        &run(&["init", "none/bench"], place.path()),
        "directory-not-created",
    );
    let names: Vec<_> = fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["file"]);
}

#[test]
fn invalid_settings() {
    let bench = Bench::new();
    let good = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let model = "[[model]]\nbrand-id = \"brand-acme\"\nmodel = \"edge-box\"\nprovisioning = \"hardware-identity\"\nserial-key = \"serial.pem\"\n";
    for (settings, code) in [
        (
            good.replace("database =", "data-base ="),
            "service-settings-invalid",
        ),
        (
            good.replace("\"api-key\"", "\"shared-secret\""),
            "service-settings-invalid",
        ),
        (format!("{good}{model}"), "model-duplicate"),
        (
            good.replace("api-key-file = \"api-key\"\n", ""),
            "api-key-file-mismatch",
        ),
        (
            good.replace("api-key-file =", "serial = \"hardware-id\"\napi-key-file ="),
            "setting-needs-identity",
        ),
        (
            good.replace(
                "api-key-file =",
                "hardware-names = [\"edge-box\"]\napi-key-file =",
            ),
            "setting-needs-identity",
        ),
        (
            good.replace("hardware-names = [\"edge-box\"]", "hardware-names = []"),
            "hardware-names-empty",
        ),
        (
            good.replace("\"proposed\"", "\"proposed\"\nserial-pattern = \"a)|(b\""),
            "serial-pattern-invalid",
        ),
        (
            good.replace("\"proposed\"", "\"hardware-id\"\nserial-pattern = \"a\""),
            "serial-pattern-unused",
        ),
        (good.replace("127.0.0.1:0", "nowhere"), "service-settings-invalid"),
        (good.replace("\"token\"", "\"none\""), "file-unreadable"),
        (
            good.replace("\"brand.account-key\", ", ""),
            "serial-key-without-account-key",
        ),
        (
            good.replace("issuer.account-key", "settings.toml"),
            "account-key-file-invalid",
        ),
        (
            good.replace("[limits]", "[limits]\nconnections = 0"),
            "limit-zero",
        ),
        (
            good.replace("[limits]", "[limits]\nledger-file-bytes = 0"),
            "limit-zero",
        ),
        (format!("nonce-seconds = 0\n{good}"), "limit-zero"),
        (
            good.replace("api-key-file =", "issuers = [\"acme\"]\napi-key-file ="),
            "setting-needs-identity",
        ),
        (
            good.replace("issuers = [\"acme\"]", "issuers = []"),
            "issuers-empty",
        ),
        (
            format!("{good}[[token]]\nname = \"other\"\nrole = \"read\"\nfile = \"token\"\n"),
            "token-secret-duplicate",
        ),
        (
            good.replace(
                "[limits]",
                "[tls]\ncertificate = \"token\"\nkey = \"token\"\n[limits]",
            ),
            "tls-certificate-missing",
        ),
    ] {
        bench.write("settings.toml", settings.as_bytes());
        failed(&refuses_to_serve(&bench.path("settings.toml")), code);
    }
    failed(
        &refuses_to_serve(&bench.path("missing.toml")),
        "service-settings-missing",
    );
    bench.write("settings.toml", good.as_bytes());
    let expired = common::expired_key("brand-acme", "brand");
    let valid = fs::read(bench.path("brand.account-key")).unwrap();
    bench.write("brand.account-key", expired.as_bytes());
    failed(
        &refuses_to_serve(&bench.path("settings.toml")),
        "account-key-expired",
    );
    bench.write("brand.account-key", &valid);
    bench.write("token", b"short");
    failed(
        &refuses_to_serve(&bench.path("settings.toml")),
        "secret-too-short",
    );
}

#[test]
fn a_port_in_use() {
    let bench = Bench::new();
    let service = bench.serve();
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let settings = settings.replace("127.0.0.1:0", &service.address.to_string());
    bench.write("settings.toml", settings.as_bytes());
    let output = refuses_to_serve(&bench.path("settings.toml"));
    common::failed(&output, 4, "cannot-listen");
}

#[test]
fn a_signal_ends_the_service_after_running_requests() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let bench = Bench::new();
        let mut service = bench.serve();
        let device = Device::new("p256");
        bench.import_text(&device.identity());
        let stream = device.stream(&service.nonce(), "SN-1");
        let request = Request::post("/v1/serial", stream).header("content-type", common::ASSERTIONS);
        let begun = request.begin(service.address);
        kill(Pid::from_raw(service.child.id() as i32), signal).unwrap();
        assert_eq!(begun.finish().status, 201);
        assert!(service.child.wait().unwrap().success());
    }
}

/// Another import, of which the service does not know when it ends.
#[test]
fn a_signal_ends_an_import_that_waits_for_another_one() {
    let bench = Bench::new();
    let mut service = bench.serve();
    let other = bench.lock_imports();
    let request = Request::post("/v1/hardware-identities", Device::new("p256").identity())
        .header("content-type", common::ASSERTIONS)
        .header("authorization", &format!("Bearer {TOKEN}"));
    let _connection = request.begin(service.address).send();
    kill(Pid::from_raw(service.child.id() as i32), Signal::SIGTERM).unwrap();
    until(|| service.child.try_wait().unwrap().is_some());
    assert!(service.child.wait().unwrap().success());
    drop(other);
    assert_eq!(bench.count(&bench.imported("identities")), 0);
    assert!(bench.ledger().is_empty());
}

#[test]
fn incomplete_bodies_time_out() {
    let bench = Bench::with("", "request-seconds = 1");
    let service = bench.serve();
    for (path, token) in [("/v1/serial", ""), ("/v1/hardware-identities", TOKEN)] {
        let request = Request::post(path, "type: ")
            .header("content-type", common::ASSERTIONS)
            .announced(100);
        let request = request.header("authorization", &format!("Bearer {token}"));
        let connection = TcpStream::connect(service.address).unwrap();
        request.send_over(connection, |_| {}).refused(408, "timeout");
    }
    // For an incomplete head, the connection ends without an answer.
    let mut connection = TcpStream::connect(service.address).unwrap();
    connection.write_all(b"POST /v1/ser").unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
}

#[test]
fn with_tls() {
    let bench = Bench::new();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args([
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            "tls.key",
            "-out",
            "tls.pem",
        ])
        .current_dir(bench.path(""))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let tls = "[tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\n\n[limits]";
    bench.write("settings.toml", settings.replace("[limits]", tls).as_bytes());
    let service = bench.serve();

    let certificate = CertificateDer::from_pem_file(bench.path("tls.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let send = |request: &Request| {
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let stream = StreamOwned::new(client, TcpStream::connect(service.address).unwrap());
        request.send_over(stream, |_| {})
    };
    assert!(send(&Request::post("/request-id", "")).json()["request-id"].is_string());
    let answer = send(&Request::form("/login", &[("password", common::PASSWORD)]));
    let cookie = answer.header("set-cookie").unwrap();
    assert!(
        cookie.contains("; Secure") && cookie.starts_with("__Host-"),
        "{cookie}"
    );
    // Plain HTTP gets no answer.
    let mut plain = TcpStream::connect(service.address).unwrap();
    plain
        .write_all(&Request::post("/request-id", "").bytes())
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));

    fs::set_permissions(bench.path("tls.key"), fs::Permissions::from_mode(0o644)).unwrap();
    failed(&refuses_to_serve(&bench.path("settings.toml")), "file-exposed");
}

#[test]
fn health() {
    let bench = Bench::new();
    let service = bench.serve();
    assert_eq!(service.get("/health").status, 200);
    assert_eq!(json!(service.get("/health").body), "ok\n");
}
