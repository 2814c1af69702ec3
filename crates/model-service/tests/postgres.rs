//! What only concerns PostgreSQL: the URL, the schema, the commands, and a database that is away.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use common::device::Device;
use common::hsm::until;
use common::http::Request;
use common::postgres::{Server, Session, psql};
use common::{Bench, PROGRAM, failed, refuses_to_serve, serve};

fn on_postgres() -> Bench {
    Bench::on(Some(Server::shared().database()), "", "")
}

/// A bench on a server of its own, whose statements have a second.
fn with_a_second() -> (&'static Server, Bench, String) {
    let server: &'static Server = Box::leak(Box::new(Server::start(false)));
    let bench = Bench::on(Some(server.database()), "", "wait-seconds = 0");
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let settings = settings.replace("[limits]", "[postgresql]\nstatement-seconds = 1\n\n[limits]");
    bench.write("settings.toml", settings.as_bytes());
    let url = bench.url().unwrap();
    (server, bench, url)
}

/// Waits until the service or a command waits for a lock.
fn until_it_waits_for_a_lock(url: &str) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'model-service' AND wait_event_type = 'Lock'";
    until(|| psql(url, waiting) != ["0"]);
}

#[test]
fn init_with_a_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bench");
    let database = Server::shared().database();
    let init = || {
        Command::new(PROGRAM)
            .args(["init", "--database", &database.url()])
            .arg(&path)
            .output()
            .unwrap()
    };
    let made = init();
    assert!(made.status.success(), "{made:?}");
    let settings = path.join("model-service.toml");
    let text = fs::read_to_string(&settings)
        .unwrap()
        .replace("127.0.0.1:8650", "127.0.0.1:0");
    fs::write(&settings, text).unwrap();
    let service = serve(&settings);
    service.nonce();
    assert_eq!(service.get("/ready").status, 200);
    assert_eq!(psql(&database.url(), "SELECT count(*) FROM nonces"), ["1"]);
    // A second one would be for other keys.
    fs::remove_dir_all(&path).unwrap();
    failed(&init(), 1, "database-schema-exists");
    assert!(!path.exists());
}

#[test]
fn a_database_without_tables_or_of_a_newer_release() {
    let database = Server::shared().database();
    let url = database.url();
    let bench = Bench::on(Some(database), "", "");
    psql(
        &url,
        "UPDATE refinery_schema_history SET version = 99 WHERE version = 2",
    );
    failed(
        &refuses_to_serve(&bench.path("settings.toml")),
        1,
        "database-schema-newer",
    );
    failed(&bench.run(&["init-store"], &[]), 1, "database-schema-newer");
    psql(&url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    failed(
        &refuses_to_serve(&bench.path("settings.toml")),
        1,
        "database-schema-missing",
    );
}

#[test]
fn the_tables_are_made_once() {
    let database = Server::shared().database();
    let url = database.url();
    let bench = Bench::on(Some(database), "", "");
    psql(&url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    let made = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| bench.run(&["init-store"], &[])))
            .collect();
        let outputs = threads.into_iter().map(|thread| thread.join().unwrap());
        outputs.map(|output| output.status.success()).collect::<Vec<_>>()
    });
    assert_eq!(made.iter().filter(|made| **made).count(), 1);
    assert_eq!(psql(&url, "SELECT count(*) FROM refinery_schema_history"), ["3"]);
}

#[test]
fn the_tables_of_an_earlier_release_are_migrated() {
    let bench = on_postgres();
    let url = bench.url().unwrap();
    psql(
        &url,
        "DROP TABLE session_nonces, session_key; DELETE FROM refinery_schema_history WHERE version = 3",
    );
    let services = [bench.serve(), bench.serve()];
    assert_eq!(psql(&url, "SELECT count(*) FROM session_key"), ["1"]);
    for service in &services {
        service.nonce();
    }
}

#[test]
fn urls_that_cannot_be_used() {
    let bench = on_postgres();
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let url = settings
        .lines()
        .find(|line| line.starts_with("database = "))
        .unwrap();
    let file = bench.path("settings.toml").to_str().unwrap().replace('/', "%2F");
    for (other, status, code) in [
        ("postgres://me@localhost:port/name", 1, "database-url-invalid"),
        (
            "postgres://me@localhost/name?sslmode=maybe",
            1,
            "database-url-invalid",
        ),
        (
            "postgres://me@localhost/name?sslmode=verify-full",
            1,
            "database-url-invalid",
        ),
        ("postgres:///name", 1, "database-url-invalid"),
        // A file without certificates.
        (
            &format!("postgres://me@localhost/name?sslmode=verify-full&sslrootcert={file}"),
            1,
            "database-certificates-invalid",
        ),
        ("postgres://me@127.0.0.1:1/name", 4, "database-unreachable"),
    ] {
        let changed = settings.replace(url, &format!("database = \"{other}\"\n"));
        let changed = changed.replace("[limits]", "[postgresql]\nretry-seconds = 0\n\n[limits]");
        bench.write("other.toml", changed.as_bytes());
        failed(&refuses_to_serve(&bench.path("other.toml")), status, code);
    }
}

#[test]
fn commands_for_sqlite() {
    let bench = on_postgres();
    let to = bench.path("backup");
    let to = to.to_str().unwrap();
    failed(&bench.run(&["backup"], &[to]), 1, "backup-by-postgresql");
    failed(&bench.run(&["restore"], &[to]), 1, "backup-by-postgresql");
    failed(&bench.run(&["ledger", "verify"], &[]), 1, "ledger-in-postgresql");
}

/// Without the database, requests get 503 and the service is not ready. It goes on when the
/// database is back.
#[test]
fn a_database_that_is_away() {
    let server: &'static Server = Box::leak(Box::new(Server::start(false)));
    let bench = Bench::on(Some(server.database()), "", "wait-seconds = 0");
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let settings = settings.replace("[limits]", "[postgresql]\nretry-seconds = 1\n\n[limits]");
    bench.write("settings.toml", settings.as_bytes());
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    let stream = device.stream(&service.nonce(), "SN-1");
    assert_eq!(service.get("/ready").status, 200);
    server.control("stop");
    service.serial(&stream).refused(503, "unavailable");
    service.get("/ready").refused(503, "unavailable");
    server.control("start");
    while service.get("/ready").status != 200 {
        thread::yield_now();
    }
    device.accepts(&service.serial(&stream));
}

/// The requests of a batch whose time is up are not tried one after the other.
#[test]
fn a_batch_that_waits_for_a_lock() {
    let (server, bench, url) = with_a_second();
    let service = bench.serve();
    let lock = Session::begin(&url, "LOCK TABLE nonces");
    let requests = 12;
    thread::scope(|scope| {
        for _ in 0..requests {
            scope.spawn(|| {
                let answer = service.send(&Request::post("/v1/request-id", ""));
                answer.refused(503, "unavailable");
            });
        }
    });
    assert!(
        server
            .logged("canceling statement due to statement timeout")
            .len()
            <= requests
    );
    drop(lock);
    service.nonce();
}

/// A count that fails is not tried again by each scrape.
#[test]
fn a_count_that_fails() {
    let (server, bench, url) = with_a_second();
    let service = bench.serve();
    let _lock = Session::begin(&url, "LOCK TABLE issued");
    for _ in 0..2 {
        assert_eq!(service.get("/metrics").status, 200);
    }
    assert_eq!(
        server
            .logged("canceling statement due to statement timeout")
            .len(),
        1
    );
}

/// Who is told to try again would take the serial from its next device.
#[test]
fn a_connection_that_is_lost_during_a_release() {
    let bench = on_postgres();
    let url = bench.url().unwrap();
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    device.accepts(&device.register(&service, "SN-1"));
    drop(service);
    let lock = Session::begin(&url, "LOCK TABLE ledger");
    let output = thread::scope(|scope| {
        let release = scope.spawn(|| {
            Command::new(PROGRAM)
                .args(["serial", "release", "--config"])
                .arg(bench.path("settings.toml"))
                .args(["brand-acme", "edge-box", "SN-1", "--reason", "repaired"])
                // Only the error, without what the connections log.
                .env("RUST_LOG", "off")
                .output()
                .unwrap()
        });
        until_it_waits_for_a_lock(&url);
        let lose = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'model-service'";
        psql(&url, lose);
        release.join().unwrap()
    });
    drop(lock);
    failed(&output, 4, "database-result-unknown");
}

/// A block that is being committed holds, whatever isolation the role or the database has.
#[test]
fn a_database_with_another_isolation() {
    let bench = on_postgres();
    let url = bench.url().unwrap();
    let name = url.rsplit('/').next().unwrap();
    psql(
        &url,
        &format!("ALTER ROLE tests IN DATABASE {name} SET default_transaction_isolation = 'repeatable read'"),
    );
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    let block = Session::begin(
        &url,
        "LOCK TABLE blocked_identities IN EXCLUSIVE MODE;
        INSERT INTO blocked_identities SELECT key_digest, 1, 'stolen' FROM identities",
    );
    thread::scope(|scope| {
        let register = scope.spawn(|| device.register(&service, "SN-1"));
        until_it_waits_for_a_lock(&url);
        block.commit();
        register.join().unwrap().refused(403, "identity-blocked");
    });
    assert_eq!(bench.count("serials"), 0);
}

/// TLS with and without a check of the certificate, and the places of the password.
#[test]
fn tls_and_passwords() {
    let server: &'static Server = Box::leak(Box::new(Server::start(false)));
    let bench = Bench::on(Some(server.database()), "", "");
    let url = bench.url().unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    server.control(&format!("tls {port}"));
    let name = url.rsplit('/').next().unwrap();
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    bench.write("password", b"the-password\n");
    bench.write(
        "pgpass",
        format!("127.0.0.1:{port}:{name}:tests:the-password\n").as_bytes(),
    );
    let roots = server.certificate().to_str().unwrap().replace('/', "%2F");
    let show = |user: &str, parameters: &str, more: &str, (variable, value): (&str, &str)| {
        let url_of = format!("postgres://{user}@127.0.0.1:{port}/{name}{parameters}");
        let changed = settings.replace(&url, &url_of);
        let changed = changed.replace("[limits]", &format!("{more}\n[limits]"));
        let file = bench.write("other.toml", changed.as_bytes());
        Command::new(PROGRAM)
            .args(["identity", "show", "--config"])
            .args([file.as_os_str(), "digest".as_ref()])
            .env(variable, value)
            .env("HOME", bench.path(""))
            .output()
            .unwrap()
    };
    let none = ("NOTHING", "");
    let file = bench.path("pgpass");
    for (user, parameters, more, variable) in [
        ("tests:the-password", "", "", none),
        ("tests:the-password", "?sslmode=require", "", none),
        ("tests", "", "", ("PGPASSWORD", "the-password")),
        ("tests", "", "", ("PGPASSFILE", file.to_str().unwrap())),
        (
            "tests:the-password",
            &format!("?sslmode=verify-full&sslrootcert={roots}"),
            "",
            none,
        ),
    ] {
        // It has asked the database.
        failed(
            &show(user, parameters, more, variable),
            1,
            "identity-not-imported",
        );
    }
    for (user, parameters) in [
        ("tests:another-password", ""),
        // The server demands TLS.
        ("tests:the-password", "?sslmode=disable"),
    ] {
        failed(&show(user, parameters, "", none), 4, "database-unreachable");
    }
    // Another certificate did not sign the server's.
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=other",
        ])
        .args(["-keyout", "/dev/null", "-out"])
        .arg(bench.path("other.crt"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let roots = bench.path("other.crt").to_str().unwrap().replace('/', "%2F");
    let parameters = format!("?sslmode=verify-full&sslrootcert={roots}");
    let once = "[postgresql]\nretry-seconds = 0\n";
    failed(
        &show("tests:the-password", &parameters, once, none),
        4,
        "database-unreachable",
    );
}
