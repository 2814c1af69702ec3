//! Devices that are refused, over the network.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::device::{Ca, LineDevice};
use crate::line::{FactoryLine, HEADERS, LINE_HEADERS};
use crate::station::verified;
use crate::{failed, succeeded};

#[test]
fn wrong_pins_and_tokens() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let line = FactoryLine::new(&ca);
    let station = line.serve(&FactoryLine::signing(&["--ek-roots", "roots"]));
    let pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let token = line.path("token");
    let prove =
        |pin: &str, token: &str| line.prove_with(&device, &station.address, pin, &line.path(token), &[]);
    failed(&prove(pin, "token"), 4, "station-pin-differs");
    for (content, mode, code) in [
        ("another-token-of-32-characters--", 0o600, "station-token-wrong"),
        ("short", 0o600, "secret-too-short"),
        ("0123456789abcdef 123456789abcdef", 0o600, "token-unprintable"),
        ("0123456789abcdef0123456789abcdef", 0o644, "file-exposed"),
    ] {
        fs::write(line.path("other"), content).unwrap();
        fs::set_permissions(line.path("other"), fs::Permissions::from_mode(mode)).unwrap();
        failed(&prove(&station.pin, "other"), 1, code);
    }
    // A key that the station did not make, and whose certificate nobody has to trust.
    station.kill();
    line.shell(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -subj /CN=x -days 1; \
         chmod 600 other.key",
    );
    let tls = ["--tls-certificate", "other.pem", "--tls-key", "other.key"];
    let arguments = FactoryLine::signing(&[]);
    let other = line.serve(&[&arguments[..], &tls].concat());
    succeeded(&line.prove_with(&device, &other.address, &other.pin, &token, &[]));
    other.kill();
    let tls = ["--tls-certificate", "other.pem", "--tls-key", "batch/tls-key.pem"];
    let unusable = line.not_served(&[&arguments[..], &tls].concat());
    failed(&unusable, 1, "station-certificate-unusable");
}

#[test]
fn devices_that_are_not_what_they_claim() {
    let ca = Ca::new();
    let first = LineDevice::new(&ca, "SN-1");
    let line = FactoryLine::new(&ca);
    fs::write(line.path("lot"), "SN-1\nSN-2\nSN-3\n").unwrap();
    let arguments = FactoryLine::signing(&["--ek-roots", "roots", "--expect", "lot"]);
    let station = line.serve(&arguments);
    succeeded(&line.prove(&station, &first, &[]));

    let refused = |device: &LineDevice, code: &str| {
        failed(&line.prove(&station, device, &[]), 1, code);
        let failure = (device.id.clone(), code.to_owned());
        assert!(
            line.failures().contains(&failure),
            "{failure:?}: {:?}",
            line.failures()
        );
    };
    let mut other = LineDevice::new(&ca, "SN-2");
    other.id = "SN-1".to_owned();
    refused(&other, "lot-duplicate-hardware-id");
    other.id = "SN-4".to_owned();
    refused(&other, "hardware-id-not-expected");
    refused(&LineDevice::with_tpm_of(&first, "SN-2"), "lot-duplicate-tpm");
    refused(&LineDevice::uncertified("SN-3"), "ek-unproven");
    let strange = LineDevice::new(&Ca::new(), "SN-3");
    refused(&strange, "ek-certificate-untrusted");
    // The first one again, with other headers.
    let token = line.path("token");
    let again = |manufacturer: &str, hardware_name: &str| {
        let mut headers = HEADERS;
        (headers[3], headers[5]) = (manufacturer, hardware_name);
        let visit = ["prove", "--station", &station.address, "--pin", &station.pin];
        let device = [
            "--token-file",
            token.to_str().unwrap(),
            "--hardware-id",
            &first.id,
        ];
        first.tool(&[&visit[..], &device, &headers].concat())
    };
    succeeded(&again("Acme", "example-box"));
    failed(&again("Acme Ltd", "example-box"), 1, "lot-headers-changed");
    failed(&again("Acme", "other-box"), 1, "lot-header-differs");
    // The device with the key of another one under another hardware id.
    let mut renamed = first;
    renamed.id = "SN-3".to_owned();
    refused(&renamed, "lot-duplicate-hardware-key");
    // A good device is a failure no longer.
    other.id = "SN-2".to_owned();
    succeeded(&line.prove(&station, &other, &[]));
    assert!(line.failures().iter().all(|(id, _)| id != "SN-2"));
    assert_eq!(verified(&line.path("signed.assert")), 2);

    // A second station for the batch does not change the list of the first one.
    fs::write(line.path("lot-2"), "SN-7\n").unwrap();
    let second = FactoryLine::signing(&["--ek-roots", "roots", "--expect", "lot-2"]);
    failed(&line.not_served(&second), 1, "lot-busy");
    assert_eq!(line.lot()["missing"], serde_json::json!(["SN-3"]));

    // Another batch with the same ledger, at the same time, but not with the same output.
    let mut same_output = second.clone();
    same_output[1] = "batch-2";
    failed(&line.not_served(&same_output), 1, "output-busy");
    let other_batch = [
        "--batch",
        "batch-2",
        "--key",
        "issuer.pem",
        "--output",
        "second.assert",
    ];
    let further = ["--ledger", "ledger.jsonl", "--ek-roots", "roots"];
    let second = line.serve(&[&other_batch[..], &LINE_HEADERS, &further].concat());
    failed(&line.prove(&second, &other, &[]), 1, "lot-proof-recorded");
    other.id = "SN-9".to_owned();
    failed(&line.prove(&second, &other, &[]), 1, "tpm-recorded");
    let third = LineDevice::new(&ca, "SN-3");
    succeeded(&line.prove(&station, &third, &[]));
    failed(&line.prove(&second, &third, &[]), 1, "lot-proof-recorded");
}

#[test]
fn command_lines() {
    let line = FactoryLine::without_roots();
    for arguments in [
        &[
            &["--batch", "batch", "--output", "signed.assert"],
            &LINE_HEADERS[..],
        ]
        .concat()[..],
        &[&["--batch", "batch", "--key", "issuer.pem"], &LINE_HEADERS[..]].concat(),
        &[
            "--batch",
            "batch",
            "--key",
            "issuer.pem",
            "--output",
            "signed.assert",
        ],
        &["--batch", "batch", "--key", "issuer.pem", "--collect", "c"],
        &["--batch", "batch", "--collect", "c", "--ledger", "l"],
        &["--batch", "batch", "--collect", "c", "--tls-key", "k"],
    ] {
        failed(&line.not_served(arguments), 2, "usage");
    }
    let with_page = [
        "--batch",
        "batch",
        "--collect",
        "c",
        "--page-password-file",
        "token",
    ];
    failed(&line.not_served(&with_page), 1, "page-password-is-token");
    let no_trust = line.not_served(&["--batch", "batch", "--collect", "c"]);
    failed(&no_trust, 1, "ek-trust-missing");
    let pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let station = [
        "prove",
        "--station",
        "https://x:1",
        "--token-file",
        "token",
        "--pin",
        pin,
    ];
    for arguments in [
        &["prove"][..],
        &["prove", "--stdio", "--station", "https://x:1"],
        &[&station[..], &["--wait=18446744073709551615"]].concat(),
        &["prove", "--station", "https://x:1", "--token-file", "token"],
        &[
            "prove",
            "--station",
            "http://x:1",
            "--pin",
            "sha256//",
            "--token-file",
            "token",
        ],
    ] {
        failed(&line.files.tool(arguments), 2, "usage");
    }
    failed(
        &line.files.tool(&["station", "lot", "--batch", "none"]),
        1,
        "file-unreadable",
    );
}
