//! Backups while the service runs, and restoring them: no serial goes to two devices.
//!
//! Twenty kills under load, 60 with `CAMPAIGN=full`.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use common::campaign::{place, rounds, strike};
use common::device::Device;
use common::http::Request;
use common::{ASSERTIONS, Bench, Service, failed};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;

fn back_up(bench: &Bench, name: &str) -> String {
    let to = bench.path(name).to_str().unwrap().to_owned();
    let output = bench.run(&["backup"], &[&to]);
    assert!(output.status.success(), "{output:?}");
    to
}

#[track_caller]
fn restore(bench: &Bench, from: &str) {
    let output = bench.run(&["restore"], &[from]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_backup_has_both_files_and_replaces_nothing() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    device.accepts(&device.register(&service, "SN-1"));
    let backup = back_up(&bench, "backup");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(Path::new(&backup)), 0o700);
    for entry in fs::read_dir(&backup).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    assert_eq!(fs::read_dir(&backup).unwrap().count(), 2);
    failed(&bench.run(&["backup"], &[&backup]), 1, "directory-not-empty");
    failed(
        &bench.run(&["backup"], &[bench.path("settings.toml").to_str().unwrap()]),
        1,
        "directory-not-empty",
    );
}

#[test]
fn a_restore_replays_what_was_issued_after_the_backup() {
    let bench = Bench::new();
    let mut service = bench.serve();
    let [device, blocked, other] = ["hw-1", "hw-2", "hw-3"].map(Device::fresh);
    let identities = [&device, &blocked, &other].map(Device::identity);
    bench.import_text(&identities.join("\n"));
    let open = device.stream(&service.nonce(), "SN-1");
    let backup = back_up(&bench, "backup");
    let issued = service.serial(&open).body;
    let digest = blocked.digest();
    assert!(
        bench
            .run(&["identity", "block"], &[&digest, "--reason", "x"])
            .status
            .success()
    );
    failed(&bench.run(&["restore"], &[&backup]), 1, "database-in-use");
    // What SQLite leaves after a kill is not taken for changes of the restored files.
    service.kill();
    assert!(bench.path("database.sqlite-wal").exists());
    let last = bench.ledger().pop().unwrap();
    let output = bench.run(&["restore"], &[&backup]);
    assert!(output.status.success(), "{output:?}");
    // It names the last line, after which serials are not known.
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains(last["time"].as_str().unwrap()), "{printed}");
    assert!(printed.contains(&last["sequence"].to_string()), "{printed}");
    assert!(!bench.path("database.sqlite-wal").exists());

    let service = bench.serve();
    other.register(&service, "SN-1").refused(409, "serial-taken");
    let again = device.register(&service, "SN-1");
    assert_eq!((again.status, again.body), (200, issued));
    blocked
        .register(&service, "SN-2")
        .refused(403, "identity-blocked");
    // The nonce was used after the backup.
    service.serial(&open).refused(403, "nonce-unknown");
    let last = bench.ledger().pop().unwrap();
    assert_eq!(last["kind"], "database-restored");
    drop(service);
    bench.verifies_ledger();
}

/// A ledger without a wrong line that does not belong to the backup.
#[test]
fn a_restore_with_a_ledger_that_contradicts_changes_nothing() {
    let bench = Bench::new();
    let mut service = bench.serve();
    let device = Device::fresh("hw-1");
    bench.import_text(&device.identity());
    let backup = back_up(&bench, "backup");
    device.accepts(&device.register(&service, "SN-1"));
    kill(Pid::from_raw(service.child.id() as i32), Signal::SIGTERM).unwrap();
    assert!(service.child.wait().unwrap().success());
    let whole = fs::read(bench.path("database.ledger.jsonl")).unwrap();
    bench.contradict_ledger();
    let files = || -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(bench.path("")).unwrap().map(Result::unwrap);
        let mut files: Vec<_> = entries
            .filter(|entry| entry.file_type().unwrap().is_file())
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    };
    let before = files();
    failed(&bench.run(&["restore"], &[&backup]), 1, "ledger-contradicted");
    let after = files();
    let names =
        |files: &[(String, Vec<u8>)]| -> Vec<String> { files.iter().map(|(name, _)| name.clone()).collect() };
    assert_eq!(names(&after), names(&before));
    assert!(after == before, "a file was changed");

    bench.write("database.ledger.jsonl", &whole);
    let service = bench.serve();
    assert_eq!(device.register(&service, "SN-1").status, 200);
}

/// The backup of an older version is migrated before its ledger is replayed.
#[test]
fn a_restore_of_a_backup_of_an_older_version() {
    let bench = Bench::new();
    let backup = back_up(&bench, "backup");
    let registrations = Path::new(&backup).join("registrations.sqlite");
    fs::remove_file(&registrations).unwrap();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/sqlite/schema/registrations-2.sql");
    let old = Connection::open(&registrations).unwrap();
    old.execute_batch(&fs::read_to_string(schema).unwrap()).unwrap();
    old.pragma_update(None, "user_version", 2).unwrap();
    old.close().unwrap();
    let service = bench.serve();
    let device = Device::fresh("hw-1");
    bench.import_text(&device.identity());
    device.accepts(&device.register(&service, "SN-1"));
    drop(service);
    restore(&bench, &backup);
    assert_eq!(bench.count("serials"), 1);
    bench.verifies_ledger();
}

#[test]
fn a_restore_without_the_ledger() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::fresh("hw-1");
    bench.import_text(&device.identity());
    device.accepts(&device.register(&service, "SN-1"));
    let backup = back_up(&bench, "backup");
    drop(service);
    failed(
        &bench.run(&["restore"], &["--new-ledger", &backup]),
        1,
        "ledger-exists",
    );
    fs::rename(bench.path("database.ledger.jsonl"), bench.path("elsewhere")).unwrap();
    let before = fs::read(bench.path("database.sqlite")).unwrap();
    failed(&bench.run(&["restore"], &[&backup]), 1, "ledger-missing");
    assert_eq!(fs::read(bench.path("database.sqlite")).unwrap(), before);
    assert!(
        bench
            .run(&["restore"], &["--new-ledger", &backup])
            .status
            .success()
    );
    let service = bench.serve();
    assert_eq!(device.register(&service, "SN-1").status, 200);
    drop(service);
    bench.verifies_ledger();
}

#[test]
fn a_restore_with_a_damaged_ledger_changes_nothing() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::fresh("hw-1");
    bench.import_text(&device.identity());
    let backup = back_up(&bench, "backup");
    device.accepts(&device.register(&service, "SN-1"));
    drop(service);
    let whole = fs::read_to_string(bench.path("database.ledger.jsonl")).unwrap();
    let changed = whole.replacen("\"new\":1", "\"new\":2", 1);
    bench.write("database.ledger.jsonl", changed.as_bytes());
    failed(&bench.run(&["restore"], &[&backup]), 1, "ledger-damaged");
    bench.write("database.ledger.jsonl", whole.as_bytes());
    let service = bench.serve();
    assert_eq!(device.register(&service, "SN-1").status, 200);
}

#[test]
fn a_restore_on_another_machine() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::fresh("hw-1");
    bench.import_text(&device.identity());
    let backup = back_up(&bench, "backup");
    device.accepts(&device.register(&service, "SN-1"));
    drop(service);
    // The backup and the ledger alone.
    for name in ["database.sqlite", "database.identities.sqlite"] {
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(bench.path(&format!("{name}{end}")));
        }
    }
    restore(&bench, &backup);
    let service = bench.serve();
    assert_eq!(device.register(&service, "SN-1").status, 200);
}

#[test]
fn what_is_not_a_backup_is_refused() {
    let bench = Bench::new();
    let backup = back_up(&bench, "backup");
    let before = fs::read(bench.path("database.sqlite")).unwrap();
    failed(&bench.run(&["restore"], &["nowhere"]), 1, "backup-invalid");
    let file = Path::new(&backup).join("registrations.sqlite");
    let good = fs::read(&file).unwrap();
    let mut damaged = good.clone();
    damaged[4096..].fill(0xff);
    fs::write(&file, damaged).unwrap();
    failed(&bench.run(&["restore"], &[&backup]), 1, "backup-invalid");
    fs::write(&file, "").unwrap();
    failed(&bench.run(&["restore"], &[&backup]), 1, "backup-invalid");
    assert_eq!(fs::read(bench.path("database.sqlite")).unwrap(), before);
    fs::write(&file, good).unwrap();
    restore(&bench, &backup);
}

/// Devices that ask for serials in a loop. Each proposes one of few serials, so that several
/// devices want the same.
struct Fleet {
    devices: Vec<Device>,
    /// The first assertion that a device got.
    received: Mutex<HashMap<usize, String>>,
    next: AtomicUsize,
}

impl Fleet {
    fn new(count: usize) -> Self {
        Self {
            devices: (0..count)
                .map(|index| Device::fresh(&format!("hw-{index}")))
                .collect(),
            received: Mutex::default(),
            next: AtomicUsize::new(0),
        }
    }

    fn serial(index: usize) -> String {
        format!("SN-{}", index / 2)
    }

    /// Registers the next devices until the service is gone or `end` devices have tried.
    fn register(&self, service: &Service, end: usize) {
        let nonce = || {
            let answer = exchange(service, &Request::post("/v1/request-id", ""))?;
            let start = answer.find("{\"request-id\"")?;
            let nonce: serde_json::Value = serde_json::from_str(&answer[start..]).ok()?;
            Some(nonce["request-id"].as_str()?.to_owned())
        };
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(device) = self.devices.get(index).filter(|_| index < end) else {
                return;
            };
            let Some(nonce) = nonce() else { return };
            let stream = device.stream(&nonce, &Self::serial(index));
            let request = Request::post("/v1/serial", stream).header("content-type", ASSERTIONS);
            let Some(answer) = exchange(service, &request) else {
                return;
            };
            let Some((head, body)) = answer.split_once("\r\n\r\n") else {
                return;
            };
            let whole = head.contains(&format!("content-length: {}", body.len()));
            if head.starts_with("HTTP/1.1 201") && whole {
                let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
                received.insert(index, body.to_owned());
            }
        }
    }
}

fn exchange(service: &Service, request: &Request) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut connection = std::net::TcpStream::connect(service.address).ok()?;
    connection.write_all(&request.bytes()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Each round makes a backup during the load, kills the service and restores the backup.
#[test]
fn no_serial_goes_to_two_devices_over_backups_and_kills() {
    let (rounds, each) = (rounds(60, 20), 16);
    let bench = Bench::new();
    let fleet = &Fleet::new(rounds * each);
    let identities: Vec<_> = fleet.devices.iter().map(Device::identity).collect();
    bench.import_text(&identities.join("\n"));
    for round in 0..rounds {
        let mut service = bench.serve();
        let (first, end) = (round * each, (round + 1) * each);
        fleet.next.store(first, Ordering::Relaxed);
        let answered = || fleet.received.lock().unwrap().len();
        let before = answered();
        let backup = format!("backup-{round}");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| fleet.register(&service, end));
            }
            while answered() < before + 1 {
                thread::yield_now();
            }
            back_up(&bench, &backup);
            let more = (place(round) * 5.0) as usize;
            while answered() < before + 1 + more && fleet.next.load(Ordering::Relaxed) < end {
                thread::yield_now();
            }
            strike(service.child.id());
        });
        service.kill();
        let known = bench.count("issued");
        restore(&bench, bench.path(&backup).to_str().unwrap());
        assert!(bench.count("issued") >= known, "an issued serial is lost");
        bench.verifies_ledger();
    }
    let received = fleet.received.lock().unwrap();
    // No two devices have the same serial.
    let mut holders = HashMap::new();
    for index in received.keys() {
        let other = holders.insert(Fleet::serial(*index), *index);
        assert_eq!(
            other,
            None,
            "{} and {index:?} have one serial",
            other.unwrap_or_default()
        );
    }
    // Each device gets what it had, and those that had nothing do not get what another has.
    let service = bench.serve();
    for (index, device) in fleet.devices.iter().enumerate() {
        let answer = device.register(&service, &Fleet::serial(index));
        match (received.get(&index), holders.get(&Fleet::serial(index))) {
            (Some(had), _) => assert_eq!((answer.status, &answer.body), (200, had)),
            (None, Some(_)) => answer.refused(409, "serial-taken"),
            // One of the two, whose answer was lost.
            (None, None) => assert!([200, 201, 409].contains(&answer.status), "{answer:?}"),
        }
    }
    assert_eq!(
        bench.count("serials"),
        bench.count("(SELECT DISTINCT serial FROM serials)")
    );
    drop(service);
    bench.verifies_ledger();
    println!(
        "{} devices had received serials after {rounds} kills and restores",
        received.len()
    );
    assert!(received.len() >= rounds);
}
