//! Stations that are killed at any moment.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::device::LineDevice;
use crate::line::FactoryLine;
use crate::station::verified;
use crate::{failed, json, succeeded};

/// How often the station is killed while devices come.
const KILLS: u64 = 15;

#[test]
fn each_device_gets_one_assertion_however_often_the_station_is_killed() {
    let line = FactoryLine::without_roots();
    let devices = [1, 2, 3, 4, 5, 6].map(|number| LineDevice::uncertified(&format!("SN-{number}")));
    line.list(&devices);
    let arguments = FactoryLine::signing(&["--ek-list", "list.csv"]);
    let station = line.serve(&arguments);
    let (address, pin) = (station.address.clone(), station.pin.clone());
    let listen = address.strip_prefix("https://").unwrap();
    let token = line.path("token");
    thread::scope(|scope| {
        let visits: Vec<_> = devices
            .iter()
            .map(|device| scope.spawn(|| line.prove_with(device, &address, &pin, &token, &["--wait"])))
            .collect();
        let mut station = station;
        for round in 1..=KILLS {
            // At different moments of the visits.
            thread::sleep(Duration::from_millis(37 * round % 400));
            station.kill();
            station = line.serve_on(listen, &arguments);
        }
        visits
            .into_iter()
            .for_each(|visit| succeeded(&visit.join().unwrap()));
    });
    assert_eq!(verified(&line.path("signed.assert")), devices.len());
    assert_eq!(line.files.ledger("ledger.jsonl").len(), devices.len());
    succeeded(&line.files.tool(&["ledger", "verify", "ledger.jsonl"]));
    assert_eq!(line.lot()["done"], devices.len());
}

#[test]
fn what_the_last_device_lacks_is_completed() {
    let line = FactoryLine::without_roots();
    let devices = ["SN-1", "SN-2"].map(LineDevice::uncertified);
    line.list(&devices);
    let arguments = FactoryLine::signing(&["--ek-list", "list.csv"]);
    let station = line.serve(&arguments);
    succeeded(&line.prove(&station, &devices[0], &[]));
    let read = |name: &str| fs::read_to_string(line.path(name)).unwrap();
    let files = ["signed.assert", "ledger.jsonl", "batch/lot.jsonl"];
    let before = files.map(read);
    let result = json(&line.prove(&station, &devices[1], &[]));
    station.kill();
    let after = files.map(read);
    // Killed after the line of the lot, within that of the ledger, after it, and within the output.
    let middle = |file: usize| before[file].len() + (after[file].len() - before[file].len()) / 2;
    for (output, ledger) in [
        (&before[0][..], &before[1][..]),
        (&before[0], &after[1][..middle(1)]),
        (&before[0], &after[1]),
        (&after[0][..middle(0)], &after[1]),
    ] {
        fs::write(line.path("signed.assert"), output).unwrap();
        fs::write(line.path("ledger.jsonl"), ledger).unwrap();
        let station = line.serve(&arguments);
        assert_eq!(read("signed.assert"), after[0]);
        assert_eq!(line.files.ledger("ledger.jsonl").len(), 2);
        assert_eq!(json(&line.prove(&station, &devices[1], &[])), result);
        station.kill();
    }
    // Killed within the line of the lot: nothing was done for the device, which comes again.
    let lot = &after[2][..after[2].len() - 10];
    for (file, content) in files.iter().zip([&before[0], &before[1], &lot.to_owned()]) {
        fs::write(line.path(file), content).unwrap();
    }
    assert_eq!(line.lot()["done"], 1);
    let station = line.serve(&arguments);
    assert_eq!(json(&line.prove(&station, &devices[1], &[]))["result"], "signed");
    assert_eq!(verified(&line.path("signed.assert")), 2);
    succeeded(&line.files.tool(&["ledger", "verify", "ledger.jsonl"]));

    // An output that was lost.
    let again = line
        .files
        .tool(&["station", "lot", "--batch", "batch", "--assertions"]);
    succeeded(&again);
    assert_eq!(again.stdout, read("signed.assert").as_bytes());

    // Only one station at a time, and no damaged lot.
    failed(&line.not_served(&arguments), 1, "lot-busy");
    station.kill();
    let collect = [
        "--batch",
        "batch",
        "--ek-list",
        "list.csv",
        "--collect",
        "collected",
    ];
    failed(&line.not_served(&collect), 1, "lot-destination-differs");
    fs::write(line.path("batch/lot.jsonl"), "{}\n").unwrap();
    failed(&line.not_served(&arguments), 1, "lot-damaged");
}
