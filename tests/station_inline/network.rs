//! Devices that are proven over the network.

use std::fs;
use std::thread;

use serde_json::json;

use crate::device::{Ca, LineDevice};
use crate::line::FactoryLine;
use crate::station::verified;
use crate::{failed, json, succeeded};

#[test]
fn a_device_is_signed_at_once_and_gets_the_same_result_again() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let line = FactoryLine::new(&ca);
    fs::write(line.path("lot.csv"), "hardware-id,MAC\nSN-1,0\nSN-2,1\n").unwrap();
    let station = line.serve(&FactoryLine::signing(&[
        "--ek-roots",
        "roots",
        "--expect",
        "lot.csv",
    ]));
    let lot = line.lot();
    assert_eq!((&lot["expected"], &lot["done"]), (&json!(2), &json!(0)));

    let first = line.prove(&station, &device, &[]);
    succeeded(&first);
    let result = json(&first);
    assert_eq!(
        (&result["result"], &result["hardware-id"]),
        (&json!("signed"), &json!("SN-1"))
    );
    let signed = fs::read(line.path("signed.assert")).unwrap();
    assert_eq!(verified(&line.path("signed.assert")), 1);
    let ledger = line.files.ledger("ledger.jsonl");
    assert_eq!(ledger.len(), 1);
    assert_eq!(ledger[0]["proof"]["batch"], result["batch"]);
    assert_eq!(ledger[0]["hardware-id"], "SN-1");

    // Now, and after a restart without the roots.
    let again = line.prove(&station, &device, &[]);
    assert_eq!(json(&again), result);
    assert_eq!(station.terminate(), "");
    let station = line.serve(&FactoryLine::signing(&[]));
    assert_eq!(json(&line.prove(&station, &device, &[])), result);
    assert_eq!(fs::read(line.path("signed.assert")).unwrap(), signed);
    assert_eq!(line.files.ledger("ledger.jsonl"), ledger);

    let lot = line.lot();
    assert_eq!(lot["batch"], result["batch"]);
    assert_eq!(
        (&lot["expected"], &lot["done"], &lot["done-last-hour"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!((&lot["missing"], &lot["failed"]), (&json!(["SN-2"]), &json!([])));
    assert_eq!(lot["devices"][0]["hardware-id"], "SN-1");
    let text = line.files.tool(&["station", "lot", "--batch", "batch"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.lines().any(|line| line == "SN-2"), "{text}");
}

#[test]
fn devices_are_collected_for_a_later_sign() {
    let ca = Ca::new();
    let devices = ["SN-1", "a b.evidence"].map(|id| LineDevice::new(&ca, id));
    let line = FactoryLine::new(&ca);
    let arguments = [
        "--batch",
        "batch",
        "--ek-roots",
        "roots",
        "--collect",
        "collected",
    ];
    let station = line.serve(&arguments);
    for device in &devices {
        let proven = line.prove(&station, device, &[]);
        succeeded(&proven);
        assert_eq!(json(&proven)["result"], "collected");
    }
    assert_eq!(
        json(&line.prove(&station, &devices[0], &[]))["hardware-id"],
        "SN-1"
    );
    station.kill();
    assert_eq!(line.files.files("collected").len(), 8);
    let arguments = [
        "sign",
        "--key",
        "issuer.pem",
        "-o",
        "signed.assert",
        "--ledger",
        "ledger.jsonl",
    ];
    let proof = [
        "--require-proof",
        "--batch",
        "batch",
        "--answers",
        "collected",
        "collected",
    ];
    succeeded(&line.files.tool(&[&arguments[..], &proof].concat()));
    assert_eq!(verified(&line.path("signed.assert")), 2);
    assert!(
        line.files
            .ledger("ledger.jsonl")
            .iter()
            .all(|line| line["proof"].is_object())
    );
    assert_eq!(line.lot()["done"], 2);
}

#[test]
fn twenty_devices_come_at_once() {
    let line = FactoryLine::without_roots();
    let numbers: Vec<_> = (1..=20).collect();
    // Two at a time: to start them is not what is tested.
    let devices: Vec<_> = thread::scope(|scope| {
        let halves: Vec<_> = numbers
            .chunks(10)
            .map(|numbers| {
                scope.spawn(move || {
                    let device = |number| LineDevice::uncertified(&format!("SN-{number}"));
                    numbers.iter().map(device).collect::<Vec<_>>()
                })
            })
            .collect();
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    line.list(&devices);
    let station = line.serve(&FactoryLine::signing(&["--ek-list", "list.csv"]));
    thread::scope(|scope| {
        for device in &devices {
            scope.spawn(|| {
                let proven = line.prove(&station, device, &[]);
                assert!(proven.status.success(), "{}", crate::stderr(&proven));
            });
        }
    });
    assert_eq!(verified(&line.path("signed.assert")), 20);
    assert_eq!(line.files.ledger("ledger.jsonl").len(), 20);
    succeeded(&line.files.tool(&["ledger", "verify", "ledger.jsonl"]));
    let lot = line.lot();
    assert_eq!((&lot["done"], &lot["failed"]), (&json!(20), &json!([])));
}

#[test]
fn a_device_waits_for_its_station() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let line = FactoryLine::new(&ca);
    let arguments = FactoryLine::signing(&["--ek-roots", "roots"]);
    let station = line.serve(&arguments);
    let (address, pin) = (station.address.clone(), station.pin.clone());
    station.kill();
    let token = line.path("token");
    failed(
        &line.prove_with(&device, &address, &pin, &token, &[]),
        4,
        "station-unreachable",
    );
    let listen = address.strip_prefix("https://").unwrap();
    thread::scope(|scope| {
        let device = scope.spawn(|| line.prove_with(&device, &address, &pin, &token, &["--wait"]));
        let station = line.serve_on(listen, &arguments);
        assert_eq!(station.pin, pin, "the station keeps its key");
        succeeded(&device.join().unwrap());
    });
}
