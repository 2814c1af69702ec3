//! Evidence that install-device delivers on a factory boot.

use std::fs;

use residency::EvidenceMessage;
use serde_json::Value;
use testbed::Command::{CreatePrimary, FlushContext, ReadPublic};

use crate::commands::{GET_CAPABILITY, NV_READ, NV_READ_PUBLIC, counted};
use crate::device::{Ca, LineDevice};
use crate::station::{Station, verified};
use crate::{failed, succeeded};

#[test]
fn evidence_of_a_factory_boot_is_proven() {
    let ca = Ca::new();
    let devices = ["SN-1", "SN-2", "SN-3"].map(|id| LineDevice::new(&ca, id));
    devices[1].certify_p256(&ca, |_| vec![], &[0xff; 700]);
    devices[2].write_nv("0x01c0000a", b"not a certificate");
    let station = Station::new(&ca);
    // The third has one of H-3 left.
    for (device, warnings) in devices.iter().zip([&[][..], &[], &["ek-certificate-malformed"]]) {
        let outcome = device.install(&station.path("exports"));
        assert!(outcome.status.success(), "{}", outcome.merged);
        let warned: Vec<_> = outcome.merged.lines().collect();
        assert_eq!(warned.len(), warnings.len(), "{warned:?}");
        assert!(
            warnings
                .iter()
                .zip(&warned)
                .all(|(code, line)| line.ends_with(&format!("[{code}]")))
        );
        // What the tool writes, and what the station reads.
        let name = format!("exports/{}.evidence.json", device.id);
        let delivered = fs::read_to_string(station.path(&name)).unwrap();
        let again = station.path("again");
        fs::create_dir_all(&again).unwrap();
        assert!(device.export(&again, &[]).status.success());
        assert_eq!(
            fs::read_to_string(station.path(&name.replace("exports", "again"))).unwrap(),
            delivered
        );
        let read = EvidenceMessage::read(delivered.as_bytes()).unwrap();
        let [read, delivered] =
            [read.to_json(), delivered].map(|json| serde_json::from_str::<Value>(&json).unwrap());
        assert_eq!(read, delivered);
    }
    succeeded(&station.challenge("batch", &[]));
    for (device, template) in devices.iter().zip(["H-3", "L-2", "H-3"]) {
        let challenge = station.json(&format!("challenges/{}.challenge.json", device.id));
        assert_eq!(challenge["template"], template);
        succeeded(&station.activate(device));
    }
    succeeded(&station.sign("batch", &[]));
    assert_eq!(verified(&station.path("signed.assert")), 3);
}

#[test]
fn the_evidence_of_another_device_is_not_replaced() {
    let ca = Ca::new();
    let devices = ["SN-1", "SN-1"].map(|id| LineDevice::new(&ca, id));
    let station = Station::new(&ca);
    let exports = station.path("exports");
    assert!(devices[0].install(&exports).status.success());
    let [export, evidence] = ["json", "evidence.json"].map(|end| exports.join(format!("SN-1.{end}")));
    let before = fs::read(&evidence).unwrap();
    fs::remove_file(&export).unwrap();
    let refused = devices[1].install(&exports);
    assert!(
        refused.merged.trim_end().ends_with("[export-of-other-device]"),
        "{}",
        refused.merged
    );
    // Without its evidence there is no export.
    assert!(!export.exists());
    assert_eq!(fs::read(&evidence).unwrap(), before);
    // That of this device is.
    fs::write(
        &evidence,
        String::from_utf8(before.clone()).unwrap().replace("H-3", "H-6"),
    )
    .unwrap();
    assert!(devices[0].install(&exports).status.success());
    assert_eq!(fs::read(&evidence).unwrap(), before);
    // The evidence of another device beside the export.
    fs::create_dir(station.path("other")).unwrap();
    succeeded(&devices[1].export(&station.path("other"), &[]));
    fs::copy(station.path("other/SN-1.evidence.json"), &evidence).unwrap();
    failed(
        &station.challenge("batch", &[]),
        1,
        &["evidence-for-other-key", "devices-refused"],
    );
}

#[test]
fn evidence_takes_few_commands() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let station = Station::new(&ca);
    let [read_public, create, flush] = [ReadPublic, CreatePrimary, FlushContext].map(|c| c.code().unwrap());
    let counts = counted(&device, || {
        assert!(device.install(&station.path("exports")).status.success());
    });
    let expected = [
        (read_public, 1),
        // The NV indices, and the size of the buffer.
        (GET_CAPABILITY, 2),
        (NV_READ_PUBLIC, 2),
        (NV_READ, 1),
        (create, 1),
        (flush, 1),
    ];
    assert_eq!(counts, expected.into());
}
