//! Moving a database from SQLite to PostgreSQL.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::{Command, Output};

use common::device::Device;
use common::postgres::{Database, Server, psql};
use common::{Bench, PROGRAM, failed};

fn migrate(bench: &Bench, target: &Database) -> Output {
    let from = format!("sqlite:{}", bench.path("database.sqlite").display());
    Command::new(PROGRAM)
        .args(["migrate-store", "--from", &from, "--to", &target.url()])
        .output()
        .unwrap()
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn use_postgres(bench: &Bench, target: &Database) {
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let settings = settings.replace("database.sqlite", &target.url());
    bench.write("settings.toml", settings.as_bytes());
}

#[test]
fn everything_is_moved() {
    let bench = Bench::on(None, "", "");
    let target = Server::shared().database();
    let devices: Vec<_> = ["one\\back", "two", "three"].map(Device::fresh).into();
    let identities: Vec<_> = devices.iter().map(Device::identity).collect();
    bench.import_text(&identities.join("\n"));
    let service = bench.serve();
    let stream = devices[0].stream(&service.nonce(), "SN-1");
    let assertion = service.serial(&stream).body;
    let open = service.nonce();
    devices[1].register(&service, "SN-2");
    // It is moved by nobody while it is used.
    failed(&migrate(&bench, &target), 1, "database-in-use");
    drop(service);
    for (command, arguments) in [
        (["identity", "block"], vec![devices[2].digest()]),
        (
            ["serial", "release"],
            ["brand-acme", "edge-box", "SN-2"].map(str::to_owned).into(),
        ),
    ] {
        let mut arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        arguments.extend(["--reason", "a \"test\""]);
        assert!(bench.run(&command, &arguments).status.success());
    }
    let first = succeeded(&migrate(&bench, &target));
    let again = succeeded(&migrate(&bench, &target));
    assert_eq!(
        first.lines().take(10).collect::<Vec<_>>(),
        again.lines().take(10).collect::<Vec<_>>()
    );
    // psql sees the same rows as the sqlite3 library.
    for table in [
        "identities",
        "identity_texts",
        "imports",
        "serials",
        "issued",
        "registrations",
        "changes",
        "nonces",
        "blocked_identities",
    ] {
        let count = psql(&target.url(), &format!("SELECT count(*) FROM {table}"));
        assert_eq!(count, [bench.count(table).to_string()], "{table}");
    }
    let ledger = psql(
        &target.url(),
        "SELECT number, event ->> 'kind', event ->> 'assertion' IS NULL FROM ledger",
    );
    let lines: Vec<_> = bench
        .ledger()
        .iter()
        .map(|line| {
            let known = if line["assertion"].is_null() { "t" } else { "f" };
            format!(
                "{}\t{}\t{known}",
                line["sequence"],
                line["kind"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(ledger, lines);

    use_postgres(&bench, &target);
    let service = bench.serve();
    service.serial(&stream).refused(403, "nonce-used");
    let stream = devices[0].stream(&open, "SN-1");
    let repeated = service.serial(&stream);
    assert_eq!((repeated.status, repeated.body), (200, assertion));
    devices[2]
        .register(&service, "SN-3")
        .refused(403, "identity-blocked");
    // Numbers go on after those that were moved.
    devices[1].accepts(&devices[1].register(&service, "SN-2"));
    drop(service);
    failed(&migrate(&bench, &target), 1, "migration-target-used");
}

/// Of a database with other data, nothing is changed.
#[test]
fn a_database_with_other_data_is_refused() {
    let target = Server::shared().database();
    let url = target.url();
    let other = Bench::on(Some(target), "", "");
    other.import_text(&Device::fresh("other").identity());
    let bench = Bench::on(None, "", "");
    bench.import_text(&Device::fresh("one").identity());
    let from = format!("sqlite:{}", bench.path("database.sqlite").display());
    let migrated = Command::new(PROGRAM)
        .args(["migrate-store", "--from", &from, "--to", &url])
        .output()
        .unwrap();
    failed(&migrated, 1, "migration-target-used");
    assert_eq!((other.count("imports"), other.count("identities")), (1, 1));
}

#[test]
fn sources_that_are_not_a_database() {
    let bench = Bench::on(None, "", "");
    let target = Server::shared().database();
    fs::remove_file(bench.path("database.sqlite")).unwrap();
    failed(&migrate(&bench, &target), 1, "database-missing");
    let usage = Command::new(PROGRAM)
        .args([
            "migrate-store",
            "--from",
            "postgres://a@b/c",
            "--to",
            &target.url(),
        ])
        .output()
        .unwrap();
    assert_eq!(usage.status.code(), Some(2));
}
