//! The database: created by `init` alone, migrated, closed cleanly, and not replaced unnoticed.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::device::Device;
use common::{Bench, Service, failed, refuses_to_serve};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;

/// The schema of version 2, which has no ledger.
const REGISTRATIONS: &str = include_str!("schema/registrations-2.sql");
const IDENTITIES: &str = include_str!("schema/identities-2.sql");
const FILES: [&str; 2] = ["database.sqlite", "database.identities.sqlite"];

/// Ends the service with SIGTERM.
fn stop(service: &mut Service) {
    kill(Pid::from_raw(service.child.id() as i32), Signal::SIGTERM).unwrap();
    assert!(service.child.wait().unwrap().success());
}

/// Counts rows in a copy of the file alone, in an empty directory.
fn count_in_copy(bench: &Bench, file: &str, table: &str) -> i64 {
    let place = tempfile::tempdir().unwrap();
    let copy = place.path().join(file);
    fs::copy(bench.path(file), &copy).unwrap();
    let copy = Connection::open(copy).unwrap();
    let check: String = copy
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    copy.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
        .unwrap()
}

fn has_companions(bench: &Bench) -> bool {
    FILES.iter().any(|file| {
        ["-wal", "-shm"]
            .iter()
            .any(|end| bench.path(&format!("{file}{end}")).exists())
    })
}

#[test]
fn a_copy_of_one_file_is_complete_after_sigterm() {
    let bench = Bench::new();
    let mut service = bench.serve();
    let device = Device::new("p256");
    service.import(&device.identity());
    device.accepts(&device.register(&service, "SN-1"));
    // The page reads, so that there are readers to close.
    assert_eq!(service.get("/health").status, 200);
    stop(&mut service);
    assert!(!has_companions(&bench));
    assert_eq!(count_in_copy(&bench, FILES[0], "issued"), 1);
    assert_eq!(count_in_copy(&bench, FILES[1], "identities"), 1);
}

#[test]
fn a_copy_of_one_file_is_complete_after_sigterm_under_load() {
    let bench = Bench::new();
    let mut service = bench.serve();
    let devices: Vec<_> = (0..100)
        .map(|index| Device::fresh(&format!("SN-{index}")))
        .collect();
    let identities: Vec<_> = devices.iter().map(Device::identity).collect();
    bench.import_text(&identities.join("\n"));
    let address = service.address;
    let (received, next) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    let requests: Vec<_> = devices
        .iter()
        .map(|device| device.stream(&service.nonce(), &device.hardware_id))
        .collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(stream) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some(status) = common::try_serial(address, stream) else {
                        return;
                    };
                    assert_eq!(status, 201);
                    received.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while received.load(Ordering::Relaxed) < 10 {
            thread::yield_now();
        }
        stop(&mut service);
    });
    let received = received.load(Ordering::Relaxed) as i64;
    assert!(
        received < devices.len() as i64,
        "the signal came too late to show anything"
    );
    assert!(!has_companions(&bench));
    assert!(count_in_copy(&bench, FILES[0], "issued") >= received);
    assert_eq!(
        count_in_copy(&bench, FILES[1], "identities"),
        devices.len() as i64
    );
    bench.verifies_ledger();
}

#[test]
fn all_files_are_for_their_owner_alone() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    service.import(&device.identity());
    device.accepts(&device.register(&service, "SN-1"));
    let mut seen = 0;
    for entry in fs::read_dir(bench.path("")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("database.") {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
            seen += 1;
        }
    }
    // Two databases, each with a log and its index, the ledger and the lock.
    assert_eq!(seen, 8);
}

#[test]
fn permissions_of_others_are_taken_from_an_older_database() {
    let bench = Bench::new();
    for file in FILES {
        fs::set_permissions(bench.path(file), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let _service = bench.serve();
    for file in FILES {
        let mode = fs::metadata(bench.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn a_missing_database_is_not_created() {
    for file in FILES {
        let bench = Bench::new();
        fs::remove_file(bench.path(file)).unwrap();
        failed(
            &refuses_to_serve(&bench.path("settings.toml")),
            1,
            "database-missing",
        );
        let identity = bench.write("import.assert", Device::new("p256").identity().as_bytes());
        failed(&bench.import(&[&identity]), 1, "database-missing");
        failed(&bench.run(&["backup"], &["copy"]), 1, "database-missing");
        assert!(!bench.path(file).exists());
        // init-store creates what is missing, and nothing else.
        assert!(bench.run(&["init-store"], &[]).status.success());
        failed(&bench.run(&["init-store"], &[]), 1, "database-exists");
        drop(bench.serve());
    }
}

#[test]
fn an_empty_file_or_a_newer_version_is_refused() {
    let bench = Bench::new();
    let file = bench.path(FILES[0]);
    let database = Connection::open(&file).unwrap();
    for version in [1, 6] {
        database.pragma_update(None, "user_version", version).unwrap();
        failed(
            &refuses_to_serve(&bench.path("settings.toml")),
            1,
            "database-version",
        );
    }
    drop(database);
    fs::write(&file, "").unwrap();
    failed(
        &refuses_to_serve(&bench.path("settings.toml")),
        1,
        "database-empty",
    );
}

/// No answer 201 goes to a device whose serial is in a file that nobody will find.
#[test]
fn a_database_that_is_deleted_or_replaced_stops_the_service() {
    for file in FILES {
        for replace in [false, true] {
            let bench = Bench::new();
            let device = Device::new("p256");
            bench.import_text(&device.identity());
            let mut service = bench.serve();
            let stream = device.stream(&service.nonce(), "SN-1");
            let copy = bench.path("copy");
            fs::copy(bench.path(file), &copy).unwrap();
            match replace {
                true => fs::rename(&copy, bench.path(file)).unwrap(),
                false => fs::remove_file(bench.path(file)).unwrap(),
            }
            service.serial(&stream).refused(503, "unavailable");
            let started = Instant::now();
            let status = loop {
                if let Some(status) = service.child.try_wait().unwrap() {
                    break status;
                }
                assert!(started.elapsed() < Duration::from_secs(20), "it goes on");
                thread::sleep(Duration::from_millis(20));
            };
            assert_eq!(status.code(), Some(5), "{file} {replace}");
        }
    }
}

/// A database as the release before the ledger left it.
fn older(bench: &Bench, device: &Device) {
    for (file, schema) in FILES.iter().zip([REGISTRATIONS, IDENTITIES]) {
        fs::remove_file(bench.path(file)).unwrap();
        let database = Connection::open(bench.path(file)).unwrap();
        database.pragma_update(None, "journal_mode", "WAL").unwrap();
        database.execute_batch(schema).unwrap();
        database.pragma_update(None, "user_version", 2).unwrap();
    }
    let digest = device.digest();
    let text = device.identity();
    let key_digest = snap_assertions::types::HardwareKey::from_der(&device.spki)
        .unwrap()
        .public_key()
        .digest(snap_assertions::DigestForm::Der);
    let identities = Connection::open(bench.path(FILES[1])).unwrap();
    identities
        .execute(
            "INSERT INTO identities VALUES (1, 'acme', ?1, ?2, 0, ?3, 'edge-box', 'Acme', 0)",
            [&digest, &key_digest, &device.hardware_id],
        )
        .unwrap();
    identities
        .execute("INSERT INTO identity_texts VALUES (1, ?1)", [&text])
        .unwrap();
    let registrations = Connection::open(bench.path(FILES[0])).unwrap();
    registrations
        .execute_batch(
            "INSERT INTO nonces (nonce, expires) VALUES ('open', 4000000000);
             INSERT INTO serials VALUES ('brand-acme', 'edge-box', 'SN-1', 'hardware-id-key another');
             INSERT INTO issued VALUES (1, 'brand-acme', 'edge-box', 'SN-1', 0, 'key', 'signer',
                 'type: serial' || char(10) || 'timestamp: 2026-01-02T03:04:05Z' || char(10));
             INSERT INTO issued VALUES (2, 'brand-acme', 'edge-box', 'SN-1', 1, 'key', 'signer', 'text');
             INSERT INTO registrations VALUES (1, 0, '', '', '', 'SN-1', '', 'issued', '');
             INSERT INTO registrations VALUES (2, 0, '', '', '', 'SN-1', '', 'serial-taken', '');",
        )
        .unwrap();
}

#[test]
fn a_database_of_the_version_before_is_migrated_and_served() {
    let bench = Bench::new();
    let device = Device::new("p256");
    older(&bench, &device);
    let mut service = bench.serve();
    for file in FILES {
        let version = |path: &Path| -> i64 {
            let database = Connection::open(path).unwrap();
            database
                .pragma_query_value(None, "user_version", |row| row.get(0))
                .unwrap()
        };
        assert_eq!(version(&bench.path(file)), 5);
        let copy = bench.path(&file.replace(".sqlite", ".before-5.sqlite"));
        assert_eq!(version(&copy), 2);
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // The serials, the identities and the log are there; a nonce of another boot is not valid.
    device.register(&service, "SN-1").refused(409, "serial-taken");
    service
        .serial(&device.stream("open", "SN-2"))
        .refused(403, "nonce-expired");
    device.accepts(&device.register(&service, "SN-2"));
    let numbers: Vec<(i64, i64)> = bench
        .database()
        .prepare("SELECT class, number FROM registrations WHERE id <= 2 ORDER BY id")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(numbers, [(0, 1), (2, 1)]);
    // The times of the assertions and the import of the identities are known now.
    let number = |sql| {
        bench
            .database()
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(number("SELECT time FROM issued WHERE id = 1"), 1_767_323_045);
    assert_eq!(number("SELECT time FROM issued WHERE id = 2"), 0);
    assert_eq!(number("SELECT import FROM imported.identities"), 1);
    assert_eq!(
        number("SELECT added FROM imported.imports WHERE number = 1 AND time = 0"),
        1
    );
    stop(&mut service);
    bench.verifies_ledger();
}

#[test]
fn a_migration_needs_the_database_alone() {
    let bench = Bench::new();
    let device = Device::new("p256");
    older(&bench, &device);
    let lock = fs::OpenOptions::new()
        .write(true)
        .open(bench.path("database.lock"))
        .unwrap();
    lock.lock_shared().unwrap();
    failed(
        &refuses_to_serve(&bench.path("settings.toml")),
        1,
        "database-in-use",
    );
    drop(lock);
    drop(bench.serve());
}

#[test]
fn readiness_is_that_the_service_can_write() {
    let bench = Bench::new();
    let service = bench.serve();
    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        // Another process holds the write lock for a while: not ready until then.
        let database = bench.database();
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        scope.spawn(|| {
            assert_eq!(service.get("/ready").status, 200);
            assert!(stopped.load(Ordering::Relaxed), "it did not write");
        });
        assert_eq!(service.get("/health").status, 200);
        thread::sleep(Duration::from_millis(300));
        stopped.store(true, Ordering::Relaxed);
        database.execute_batch("COMMIT").unwrap();
    });
}

#[test]
fn one_probe_is_for_all_who_ask_within_a_second() {
    let bench = Bench::new();
    let service = bench.serve();
    let time = || {
        let time = "SELECT total(time) FROM readiness";
        bench.database().query_row(time, [], |row| row.get::<_, f64>(0))
    };
    assert_eq!(service.get("/ready").status, 200);
    assert!(time().unwrap() > 0.0);
    let database = bench.database();
    database.execute("UPDATE readiness SET time = 0", []).unwrap();
    assert_eq!(service.get("/ready").status, 200);
    assert_eq!(time(), Ok(0.0), "it wrote again");
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(service.get("/ready").status, 200);
    assert!(time().unwrap() > 0.0);
}

/// SQLite attaches only files with names in UTF-8. A service that noticed that later would refuse
/// every device.
#[test]
fn a_directory_with_a_name_that_is_not_utf_8() {
    let bench = Bench::new();
    let directory = bench.path("").join(OsStr::from_bytes(b"b\xff"));
    symlink(bench.path(""), &directory).unwrap();
    failed(
        &refuses_to_serve(&directory.join("settings.toml")),
        1,
        "database-not-opened",
    );
}

/// Fails unless `check` has one problem, with this outcome and code.
#[track_caller]
fn check_finds(bench: &Bench, outcome: &str, code: &str) {
    let output = bench.run(&["check"], &["--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut problems = report["checks"].as_array().unwrap().clone();
    problems.retain(|check| check["outcome"] != "ok");
    let [problem] = problems.as_slice() else {
        panic!("{problems:?}");
    };
    let found = ["outcome", "check", "code"].map(|name| problem[name].as_str().unwrap());
    assert_eq!(found, [outcome, "database", code]);
}

#[test]
fn check_names_a_missing_and_another_version() {
    let bench = Bench::new();
    let set_version = |version: i64| {
        let connection = Connection::open(bench.path("database.sqlite")).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
    };
    set_version(2);
    check_finds(&bench, "warning", "database-migrates");
    set_version(9);
    check_finds(&bench, "error", "database-version");

    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let missing = settings.replace("database.sqlite", "none.sqlite");
    bench.write("settings.toml", missing.as_bytes());
    check_finds(&bench, "error", "database-missing");
    assert!(!bench.path("none.lock").exists());
}
