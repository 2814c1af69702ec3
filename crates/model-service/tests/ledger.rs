//! The ledger: every issued serial is in it before the answer, and every change of it is found.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use common::device::Device;
use common::disk::on_a_small_disk;
use common::{Bench, Service, failed, refuses_to_serve};

const LEDGER: &str = "database.ledger.jsonl";

/// Imports devices and gives each a serial.
fn register(bench: &Bench, service: &Service, names: &[&str]) -> Vec<Device> {
    let devices: Vec<_> = names.iter().map(|name| Device::fresh(name)).collect();
    let identities: Vec<_> = devices.iter().map(Device::identity).collect();
    bench.import_text(&identities.join("\n"));
    for device in &devices {
        device.accepts(&device.register(service, &device.hardware_id));
    }
    devices
}

#[test]
fn an_issued_serial_is_in_the_ledger() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = &register(&bench, &service, &["SN-1"])[0];
    let repeated = device.register(&service, "SN-1");
    let lines = bench.ledger();
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["identities-imported", "serial-issued"]);
    let line = &lines[1];
    assert_eq!(
        (line["sequence"].as_u64(), line["revision"].as_u64()),
        (Some(2), Some(0))
    );
    assert_eq!(line["assertion"].as_str(), Some(repeated.body.as_str()));
    assert_eq!(
        (&line["serial"], &line["model"]),
        (&"SN-1".into(), &"edge-box".into())
    );
    assert!(line["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    // The hash of a line is that of sha256sum.
    let text = fs::read_to_string(bench.path(LEDGER)).unwrap();
    let first = bench.write("line", text.lines().next().unwrap().as_bytes());
    let sum = Command::new("sha256sum").arg(first).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    assert_eq!(line["previous"].as_str(), sum.split(' ').next());
    bench.verifies_ledger();
}

/// The line of stderr of a verification that fails.
#[track_caller]
fn finds(bench: &Bench, code: &str) -> String {
    let output = bench.run(&["ledger", "verify"], &[]);
    failed(&output, 1, code);
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_changed_ledger_is_found() {
    let bench = Bench::new();
    register(&bench, &bench.serve(), &["SN-1", "SN-2", "SN-3", "SN-4"]);
    bench.verifies_ledger();
    let whole = fs::read_to_string(bench.path(LEDGER)).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    assert_eq!(lines.len(), 5);
    let changed = lines[2].replace("SN-2", "SN-9");
    let with = |index: usize, line: &str| {
        let mut lines = lines.clone();
        lines[index] = line;
        lines.join("\n") + "\n"
    };
    let without = |index: usize| {
        let mut lines = lines.clone();
        lines.remove(index);
        lines.join("\n") + "\n"
    };
    let mut swapped = lines.clone();
    swapped.swap(1, 2);
    let last_changed = lines[4].replace("SN-4", "SN-9");
    for (content, code, place) in [
        (with(2, &changed), "ledger-damaged", Some("line 3")),
        (with(2, "no JSON"), "ledger-damaged", Some("line 3")),
        (with(4, &last_changed), "ledger-damaged", Some("line 5")),
        (without(0), "ledger-damaged", Some("line 1")),
        (without(2), "ledger-damaged", Some("line 3")),
        (swapped.join("\n") + "\n", "ledger-damaged", Some("line 2")),
        (
            format!("{}{}\n", whole, lines[4]),
            "ledger-damaged",
            Some("line 6"),
        ),
        (without(4), "ledger-truncated", None),
        (whole[..whole.len() - 10].to_owned(), "ledger-truncated", None),
        (String::new(), "ledger-truncated", None),
    ] {
        bench.write(LEDGER, content.as_bytes());
        let text = finds(&bench, code);
        if let Some(place) = place {
            assert!(text.contains(&format!("{place}:")), "{place}: {text}");
        }
    }
    // The service does not start on a ledger that lacks what the database has.
    let settings = bench.path("settings.toml");
    failed(&refuses_to_serve(&settings), 1, "ledger-truncated");
    bench.write(LEDGER, with(4, &last_changed).as_bytes());
    failed(&refuses_to_serve(&settings), 1, "ledger-damaged");
    fs::remove_file(bench.path(LEDGER)).unwrap();
    failed(&refuses_to_serve(&settings), 1, "ledger-truncated");
    bench.write(LEDGER, whole.as_bytes());
    drop(bench.serve());
    bench.verifies_ledger();
}

/// The older files of the ledger, in the order of their lines.
fn rotated(bench: &Bench) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(bench.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().contains("ledger.0"))
        .collect();
    found.sort();
    found
}

#[test]
fn the_chain_goes_on_over_files() {
    let bench = Bench::with("", "ledger-file-bytes = 1000");
    let mut service = bench.serve();
    register(&bench, &service, &["SN-1", "SN-2"]);
    service.kill();
    let service = bench.serve();
    register(&bench, &service, &["SN-3", "SN-4"]);
    let files = rotated(&bench);
    assert!(files.len() >= 3, "{files:?}");
    bench.verifies_ledger();
    // A file between two rotations does not exist.
    drop(service);
    let second = fs::read(&files[1]).unwrap();
    fs::remove_file(&files[1]).unwrap();
    finds(&bench, "ledger-damaged");
    fs::write(&files[1], second).unwrap();
    bench.verifies_ledger();
    drop(bench.serve());
}

#[test]
fn a_replay_reads_only_the_files_that_it_needs() {
    let bench = Bench::with("", "ledger-file-bytes = 1000");
    let mut service = bench.serve();
    register(&bench, &service, &["SN-1", "SN-2"]);
    service.kill();
    let before = bench.path("before");
    fs::create_dir(&before).unwrap();
    copy_database(bench.path(""), before.clone());
    let mut service = bench.serve();
    let last = register(&bench, &service, &["SN-3", "SN-4"]);
    service.kill();
    copy_database(before, bench.path(""));

    let first = &rotated(&bench)[0];
    let content = fs::read(first).unwrap();
    fs::remove_file(first).unwrap();
    let mut service = bench.serve();
    assert_eq!(bench.count("serials"), 4);
    assert_eq!(last[1].register(&service, "SN-4").status, 200);
    service.kill();
    finds(&bench, "ledger-damaged");
    fs::write(first, content).unwrap();
    bench.verifies_ledger();
}

/// A crash between the ledger and the commit, or between two writes.
#[test]
fn lines_that_the_database_lacks_are_replayed() {
    let bench = Bench::new();
    let mut service = bench.serve();
    let devices = register(&bench, &service, &["SN-1", "SN-2"]);
    service.kill();
    let before = bench.path("before");
    fs::create_dir(&before).unwrap();
    copy_database(bench.path(""), before.clone());
    let service = {
        let service = bench.serve();
        let third = Device::fresh("SN-3");
        bench.import_text(&third.identity());
        third.accepts(&third.register(&service, "SN-3"));
        service
    };
    drop(service);
    copy_database(before, bench.path(""));
    // What was written of a line that was never acknowledged.
    let mut ledger = fs::read(bench.path(LEDGER)).unwrap();
    let complete = ledger.len();
    ledger.extend_from_slice(b"{\"sequence\":7,\"prev");
    bench.write(LEDGER, &ledger);

    let service = bench.serve();
    assert_eq!(fs::metadata(bench.path(LEDGER)).unwrap().len(), complete as u64);
    assert_eq!((bench.count("serials"), bench.count("issued")), (3, 3));
    let other = Device::fresh("SN-9");
    bench.import_text(&other.identity());
    other.register(&service, "SN-3").refused(409, "serial-taken");
    other.accepts(&other.register(&service, "SN-9"));
    for device in &devices {
        assert_eq!(device.register(&service, "x").status, 200);
    }
    drop(service);
    bench.verifies_ledger();
}

/// Copies the closed database to another directory.
fn copy_database(from: PathBuf, to: PathBuf) {
    for name in ["database.sqlite", "database.sqlite-wal", "database.sqlite-shm"] {
        let _ = fs::remove_file(to.join(name));
        let _ = fs::copy(from.join(name), to.join(name));
    }
}

/// Lines that appear while the service runs, such as those of a command that was killed.
#[test]
fn of_a_replay_that_fails_nothing_is_kept() {
    let bench = Bench::new();
    let [first, second] = ["SN-1", "SN-2"].map(Device::fresh);
    bench.import_text(&[first.identity(), second.identity()].join("\n"));
    let before = bench.path("before");
    fs::create_dir(&before).unwrap();
    copy_database(bench.path(""), before.clone());
    let start = fs::read(bench.path(LEDGER)).unwrap();

    let mut service = bench.serve();
    first.accepts(&first.register(&service, "SN-1"));
    let serial = ["brand-acme", "edge-box", "SN-1", "--reason", "x"];
    let released = bench.run(&["serial", "release"], &serial);
    assert!(released.status.success(), "{released:?}");
    second.accepts(&second.register(&service, "SN-1"));
    service.kill();
    let whole = fs::read_to_string(bench.path(LEDGER)).unwrap();

    copy_database(before, bench.path(""));
    bench.write(LEDGER, &start);
    let mut service = bench.serve();
    bench.write(LEDGER, whole.as_bytes());
    bench.contradict_ledger();
    service.nonce();
    first
        .register(&service, "SN-1")
        .refused(503, "ledger-unavailable");
    assert_eq!((bench.count("serials"), bench.count("issued")), (0, 0));
    service.kill();
    failed(
        &refuses_to_serve(&bench.path("settings.toml")),
        1,
        "ledger-contradicted",
    );

    bench.write(LEDGER, whole.as_bytes());
    let service = bench.serve();
    first.register(&service, "SN-1").refused(409, "serial-taken");
    assert_eq!(second.register(&service, "SN-1").status, 200);
    drop(service);
    bench.verifies_ledger();
}

#[test]
fn a_full_disk_for_the_ledger_stops_issuing() {
    let bench = Bench::with("ledger = \"ledger/ledger.jsonl\"", "");
    let device = Device::fresh("SN-1");
    let (service, disk) = on_a_small_disk(&bench, "ledger", "256k", "");
    assert_eq!(service.import(&device.identity()).status, 200);
    assert_eq!(service.get("/ready").status, 200);
    device.accepts(&device.register(&service, "SN-1"));
    fs::write(disk.join("filler"), vec![0; 256 * 1024]).unwrap_err();
    // The result of a probe is used for a second.
    thread::sleep(Duration::from_millis(1100));
    service.get("/ready").refused(503, "ledger-unavailable");
    assert_eq!(service.get("/health").status, 200);
    // Another device key gets a new revision, so that this signs and has to record.
    let mut again = Device {
        device_key: "issuer",
        ..device
    };
    again
        .register(&service, "SN-1")
        .refused(503, "ledger-unavailable");
    assert_eq!(bench.count("issued"), 1);
    // Devices get nonces, and the same serial again.
    again.device_key = "device";
    assert_eq!(again.register(&service, "SN-1").status, 200);

    fs::remove_file(disk.join("filler")).unwrap();
    again.device_key = "issuer";
    assert_eq!(again.accepts(&again.register(&service, "SN-1")).1, 1);
    let text = fs::read_to_string(disk.join("ledger.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
}
