//! `/ready` on a full disk under an SQLite database.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::Bench;
use common::device::Device;
use common::disk::on_a_small_disk;
use common::hsm::until;

#[test]
fn a_full_disk_under_the_database() {
    let bench = Bench::with("ledger = \"ledger.jsonl\"", "");
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let moved = settings.replace("database.sqlite", "disk/database.sqlite");
    bench.write("settings.toml", moved.as_bytes());
    let create = "\"$2\" init-store --config \"$3\" > /dev/null &&";
    let (service, disk) = on_a_small_disk(&bench, "disk", "4m", create);
    let device = Device::fresh("SN-1");
    assert_eq!(service.import(&device.identity()).status, 200);
    device.accepts(&device.register(&service, "SN-1"));
    assert_eq!(service.get("/ready").status, 200);

    fs::write(disk.join("filler"), vec![0; 4 * 1024 * 1024]).unwrap_err();
    // The result of a probe is used for a second.
    until(|| service.get("/ready").status == 503);
    service.get("/ready").refused(503, "unavailable");
    assert_eq!(service.get("/health").status, 200);
    // The ledger, which has room, gets nothing that the database could lose.
    let lines = || {
        fs::read_to_string(bench.path("ledger.jsonl"))
            .unwrap()
            .lines()
            .count()
    };
    let before = lines();
    let others: Vec<_> = (2..20)
        .map(|number| Device::fresh(&format!("SN-{number}")))
        .collect();
    let identities: Vec<_> = others.iter().map(Device::identity).collect();
    service.import(&identities.join("\n")).refused(503, "unavailable");
    assert!(lines() <= before + 1);

    fs::remove_file(disk.join("filler")).unwrap();
    until(|| service.get("/ready").status == 200);
    assert_eq!(service.import(&identities.join("\n")).status, 200);
    for device in &others {
        device.accepts(&device.register(&service, &device.hardware_id));
    }
}
