//! Proven devices, up to their serial assertions.

use std::process::Command;

use crate::bench::{Bench, succeed};
use crate::common::program;
use crate::device::{Ca, LineDevice};
use crate::station::Station;
use crate::succeeded;

#[test]
fn proven_devices_are_imported_and_register() {
    let ca = Ca::new();
    let devices = ["SN-1", "SN-2", "SN-3"].map(|id| LineDevice::new(&ca, id));
    let station = Station::new(&ca);
    devices[1].certify_p256(&ca, |_| vec![], &[0; 300]);
    for (device, template) in devices.iter().zip(["L-1", "L-2", "H-3"]) {
        station.export(device, &["--ek-template", template]);
    }
    succeeded(&station.challenge("batch", &[]));
    devices
        .iter()
        .for_each(|device| succeeded(&station.activate(device)));
    let bench = Bench::start();
    let issuer = bench.file("keys/issuer.pem");
    std::fs::copy(issuer, station.path("issuer.pem")).unwrap();
    succeeded(&station.sign("batch", &[]));
    let signed = station.path("signed.assert");
    let mut verify = Command::new(program("hardware-identity"));
    succeed(
        verify
            .arg("verify")
            .arg("--issuer-key")
            .arg(bench.file("assertions/issuer.account-key"))
            .arg(&signed),
    );
    let mut import = Command::new(program("model-service"));
    succeed(
        import
            .args(["import", "--config"])
            .arg(bench.file("model-service.toml"))
            .arg("--require-proofs")
            .arg("--proofs")
            .arg(station.path("batch/ledger.jsonl"))
            .arg(&signed),
    );
    for device in devices {
        let (directory, id) = device.stop();
        let registered = bench.onboard(directory.path(), &["--proposed-serial", &id]);
        assert!(registered.status.success(), "{}", crate::stderr(&registered));
        let serial = snap_assertions::decode(&registered.stdout).unwrap();
        assert_eq!(serial.header("serial"), Some(id.as_str()));
    }
}
