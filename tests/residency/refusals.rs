//! What is refused, each with its own code.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::bench::succeed;
use crate::device::{Ca, LineDevice};
use crate::station::Station;
use crate::{codes, failed, stderr, succeeded};

/// Two devices of one CA at a station, exported.
fn two_devices() -> (Ca, [LineDevice; 2], Station) {
    let ca = Ca::new();
    let devices = ["SN-1", "SN-2"].map(|id| LineDevice::new(&ca, id));
    let station = Station::new(&ca);
    devices.iter().for_each(|device| station.export(device, &[]));
    (ca, devices, station)
}

#[test]
fn keys_and_certificates_of_other_tpms() {
    let (_ca, devices, station) = two_devices();
    // The endorsement key of the second TPM with the identity key of the first.
    let other = station.json("exports/SN-2.evidence.json");
    station.change("exports/SN-1.evidence.json", |evidence| {
        evidence["endorsement"] = other["endorsement"].clone();
    });
    fs::remove_file(station.path("exports/SN-2.json")).unwrap();
    succeeded(&station.challenge("batch", &[]));
    failed(&station.activate(&devices[0]), 3, &["challenge-refused"]);
    let challenge = station.path("challenges/SN-1.challenge.json");
    let answer = station.path("answers/SN-1.answer.json");
    failed(
        &devices[1].activate(&challenge, &answer),
        3,
        &["challenge-for-other-key"],
    );
    // RSA, whose error is another one.
    station.export(&devices[0], &["--ek-template", "L-1"]);
    station.export(&devices[1], &["--ek-template", "L-1"]);
    let other = station.json("exports/SN-2.evidence.json");
    fs::remove_file(station.path("exports/SN-2.json")).unwrap();
    station.change("exports/SN-1.evidence.json", |evidence| {
        evidence["endorsement"] = other["endorsement"].clone();
    });
    succeeded(&station.challenge("rsa", &[]));
    failed(&station.activate(&devices[0]), 3, &["challenge-refused"]);
    // The TPM goes on working.
    succeeded(&devices[0].tool(&["show", "--check"]));
}

#[test]
fn changed_messages() {
    let (_ca, devices, station) = two_devices();
    succeeded(&station.challenge("batch", &[]));
    let file = "challenges/SN-1.challenge.json";
    let original = station.json(file);
    for (member, code) in [
        ("credential-blob", "challenge-refused"),
        ("encrypted-secret", "challenge-refused"),
    ] {
        station.change(file, |challenge| {
            let bytes = challenge[member].as_str().unwrap();
            let changed = if bytes.ends_with("A==") { "B" } else { "A" };
            let text = format!("{}{changed}{}", &bytes[..40], &bytes[41..]);
            assert_ne!(text, bytes, "try again");
            challenge[member] = json!(text);
        });
        failed(&station.activate(&devices[0]), 3, &[code]);
        fs::write(station.path(file), original.to_string()).unwrap();
    }
    for size in [0, 1, 3000] {
        station.change(file, |challenge| {
            challenge["credential-blob"] = json!("A".repeat(4 * size))
        });
        failed(&station.activate(&devices[0]), 3, &["challenge-refused"]);
        fs::write(station.path(file), original.to_string()).unwrap();
    }
    station.change(file, |challenge| challenge["key-name"] = json!("AAsB"));
    failed(&station.activate(&devices[0]), 3, &["challenge-for-other-key"]);
    station.change(file, |challenge| challenge["version"] = json!(2));
    failed(&station.activate(&devices[0]), 1, &["message-version-unknown"]);
    fs::write(station.path(file), "x".repeat(20_000)).unwrap();
    failed(&station.activate(&devices[0]), 1, &["file-too-large"]);
    fs::write(station.path(file), original.to_string()).unwrap();

    // The Name in the evidence, and evidence of another device.
    let evidence = station.json("exports/SN-1.evidence.json");
    station.change("exports/SN-1.evidence.json", |evidence| {
        evidence["key-name"] = json!("AAsB")
    });
    let refused = station.challenge("batch", &[]);
    failed(&refused, 1, &["evidence-for-other-key", "devices-refused"]);
    fs::write(station.path("exports/SN-1.evidence.json"), evidence.to_string()).unwrap();
    station.exchange("exports/SN-1.evidence.json", "exports/SN-2.evidence.json");
    let refused = station.challenge("batch", &[]);
    let twice = "evidence-for-other-device";
    failed(&refused, 1, &[twice, twice, "devices-refused"]);
    fs::remove_file(station.path("exports/SN-1.evidence.json")).unwrap();
    let refused = station.challenge("batch", &["--keep-going"]);
    failed(&refused, 1, &["evidence-missing", twice, "devices-left-out"]);
}

#[test]
fn swapped_wrong_and_late_answers() {
    let (_ca, devices, station) = two_devices();
    let sign = |batch: &str| station.sign(batch, &["--ledger", "ledger.jsonl"]);
    succeeded(&station.challenge("batch", &[]));
    devices
        .iter()
        .for_each(|device| succeeded(&station.activate(device)));
    station.exchange("answers/SN-1.answer.json", "answers/SN-2.answer.json");
    let other = "answer-for-other-device";
    failed(&sign("batch"), 1, &[other, other, "exports-refused"]);
    // With the hardware ids changed too, the keys differ.
    for (file, id) in [
        ("answers/SN-1.answer.json", "SN-1"),
        ("answers/SN-2.answer.json", "SN-2"),
    ] {
        station.change(file, |answer| answer["hardware-id"] = json!(id));
    }
    let other = "answer-for-other-key";
    failed(&sign("batch"), 1, &[other, other, "exports-refused"]);
    // Nor does the proof of another device help with the right Name.
    for id in ["SN-1", "SN-2"] {
        let name = station.json(&format!("challenges/{id}.challenge.json"))["key-name"].clone();
        station.change(&format!("answers/{id}.answer.json"), |answer| {
            answer["key-name"] = name
        });
    }
    failed(
        &sign("batch"),
        1,
        &["answer-wrong", "answer-wrong", "exports-refused"],
    );
    devices
        .iter()
        .for_each(|device| succeeded(&station.activate(device)));

    // The answers belong to one batch, with or without its name.
    succeeded(&station.challenge("later", &[]));
    let other = "answer-of-other-batch";
    failed(&sign("later"), 1, &[other, other, "exports-refused"]);
    let answer = station.json("answers/SN-1.answer.json");
    station.change("answers/SN-1.answer.json", |answer| {
        answer.as_object_mut().unwrap().remove("batch");
    });
    failed(&sign("later"), 1, &["answer-wrong", other, "exports-refused"]);
    fs::write(station.path("answers/SN-1.answer.json"), answer.to_string()).unwrap();

    succeeded(&sign("batch"));
    // Replayed.
    let recorded = "proof-recorded";
    failed(&sign("batch"), 1, &[recorded, recorded, "exports-refused"]);
    // A second assertion for the same devices has to be asked for, with a higher revision.
    let revised =
        |revision: &str| station.sign("batch", &["--ledger", "ledger.jsonl", "--revision", revision]);
    succeeded(&revised("2"));
    failed(&revised("1"), 1, &[recorded, recorded, "exports-refused"]);
    failed(&revised("2"), 1, &[recorded, recorded, "exports-refused"]);
    succeeded(&revised("3"));
}

/// A key that a device has proven is not signed for another one, even without a proof.
#[test]
fn unproven_exports_with_a_proven_key() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let station = Station::new(&ca);
    station.export(&device, &[]);
    succeeded(&station.challenge("batch", &[]));
    succeeded(&station.activate(&device));
    succeeded(&station.sign("batch", &["--ledger", "ledger.jsonl"]));
    fs::remove_file(station.path("answers/SN-1.answer.json")).unwrap();
    let in_batch = |further: &[&str]| {
        let always = ["--allow-unproven", "--ledger", "ledger.jsonl"];
        station.sign("batch", &[&always, further].concat())
    };
    let without_batch = |further: &[&str]| {
        let always = [
            "sign",
            "--key",
            "issuer.pem",
            "--allow-unproven",
            "--ledger",
            "ledger.jsonl",
        ];
        station.tool(&[&always[..], &["exports"], further].concat())
    };
    let refused = ["proof-recorded", "exports-refused"];
    failed(&in_batch(&[]), 1, &refused);
    failed(&without_batch(&[]), 1, &refused);
    succeeded(&in_batch(&["--revision", "1"]));
    station.change("exports/SN-1.json", |export| {
        export["hardware-id"] = json!("SN-2")
    });
    let refused = ["identity-key-recorded", "exports-refused"];
    failed(&in_batch(&["--revision", "2"]), 1, &refused);
    failed(&without_batch(&["--revision", "2"]), 1, &refused);
    assert_eq!(station.ledger("ledger.jsonl").len(), 2);
}

/// A ledger whose proofs cannot be read does not count as one without proofs.
#[test]
fn ledgers_with_changed_proofs() {
    let (_ca, devices, station) = two_devices();
    succeeded(&station.challenge("batch", &[]));
    devices
        .iter()
        .for_each(|device| succeeded(&station.activate(device)));
    let sign = || station.sign("batch", &["--ledger", "ledger.jsonl"]);
    succeeded(&sign());
    succeeded(&station.sign("batch", &["--ledger", "ledger.jsonl", "--revision", "1"]));
    let path = station.path("ledger.jsonl");
    let original = fs::read_to_string(&path).unwrap();
    let (before_last, last) = original.trim_end().rsplit_once('\n').unwrap();
    let (before, _) = last.split_once("\"proof\":").unwrap();
    for wrong in ["null", "\"None\"", "{}", "1", "{\"key-name\":\"000b\"}"] {
        // The chain does not show a change of the last line.
        let changed = format!("{before_last}\n{before}\"proof\":{wrong}}}\n");
        fs::write(&path, changed).unwrap();
        failed(&sign(), 1, &["ledger-chain-broken"]);
    }
    // The first line of four.
    let changed = original.replacen("SN-1", "SN-3", 1);
    fs::write(&path, changed).unwrap();
    failed(&sign(), 1, &["ledger-chain-broken"]);
    fs::write(&path, &original).unwrap();
    let recorded = "proof-recorded";
    failed(&sign(), 1, &[recorded, recorded, "exports-refused"]);
}

#[test]
fn a_tpm_or_key_that_is_used_twice() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let station = Station::new(&ca);
    station.export(&device, &[]);
    // The same TPM makes keys of several kinds.
    let second = LineDevice::with_tpm_of(&device, "SN-2");
    station.export(&second, &[]);
    failed(
        &station.challenge("batch", &[]),
        1,
        &["duplicate-tpm", "devices-refused"],
    );
    fs::rename(station.path("exports/SN-2.json"), station.path("SN-2.json")).unwrap();
    succeeded(&station.challenge("batch", &[]));
    succeeded(&station.activate(&device));
    fs::rename(station.path("SN-2.json"), station.path("exports/SN-2.json")).unwrap();
    fs::rename(station.path("exports/SN-1.json"), station.path("SN-1.json")).unwrap();
    succeeded(&station.challenge("batch", &[]));
    succeeded(&station.activate(&second));
    // In one batch.
    fs::rename(station.path("SN-1.json"), station.path("exports/SN-1.json")).unwrap();
    failed(
        &station.sign("batch", &[]),
        1,
        &["duplicate-tpm", "exports-refused"],
    );
    // One after the other.
    fs::rename(station.path("exports/SN-2.json"), station.path("SN-2.json")).unwrap();
    succeeded(&station.sign("batch", &[]));
    fs::rename(station.path("SN-2.json"), station.path("exports/SN-2.json")).unwrap();
    fs::remove_file(station.path("exports/SN-1.json")).unwrap();
    failed(
        &station.sign("batch", &["--revision", "2"]),
        1,
        &["tpm-recorded", "exports-refused"],
    );
    // The same device under another hardware id, in a batch of its own with the same ledger.
    let mut renamed = device;
    renamed.id = "SN-3".to_owned();
    fs::remove_file(station.path("exports/SN-2.json")).unwrap();
    station.export(&renamed, &[]);
    succeeded(&station.challenge("later", &[]));
    succeeded(&station.activate(&renamed));
    let refused = station.sign("later", &["--ledger", "batch/ledger.jsonl"]);
    failed(&refused, 1, &["tpm-recorded", "exports-refused"]);
}

#[test]
fn untrusted_certificates() {
    let (_ca, devices, station) = two_devices();
    fs::remove_file(station.path("exports/SN-2.json")).unwrap();
    let stranger = Ca::new();
    let _first_certificate = LineDevice::new(&stranger, "SN-3");
    stranger.copy_roots(&station.path("other-roots"));
    let other = station.challenge_with("other", &["--ek-roots", "other-roots"]);
    failed(&other, 1, &["ek-certificate-untrusted", "devices-refused"]);
    let early = station.challenge("early", &["--ek-time", "2001-01-01T00:00:00Z"]);
    failed(&early, 1, &["ek-certificate-not-yet-valid", "devices-refused"]);
    station.change("exports/SN-1.evidence.json", |evidence| {
        evidence["endorsement"][0]["certificate"] = json!("MAA=");
    });
    failed(
        &station.challenge("batch", &[]),
        1,
        &["ek-certificate-malformed", "devices-refused"],
    );
    station.export(&devices[0], &[]);
    succeeded(&station.challenge("issued", &["--ek-time", "issued"]));
}

/// A certificate for the P-256 endorsement key that openssl makes, in the TPM and in the evidence.
fn certify_by_openssl(device: &LineDevice, station: &Station, usage: &str) {
    device.p256_ek();
    let path = |name| device.path(name);
    let extensions = format!("basicConstraints = critical, CA:FALSE\n{usage}\n");
    fs::write(path("extensions"), extensions).unwrap();
    fs::create_dir_all(station.path("own-roots")).unwrap();
    let script = "cd \"$DIRECTORY\"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9999 -subj /CN=root \\
            -keyout root.key -out \"$ROOT\"
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ek -keyout any.key -out ek.csr
        openssl x509 -req -in ek.csr -CA \"$ROOT\" -CAkey root.key -days 30 -force_pubkey ek.pem \\
            -extfile extensions -outform DER -out ek.der";
    let mut make = Command::new("sh");
    make.args(["-ec", script]).env("DIRECTORY", path("."));
    succeed(make.env("ROOT", station.path("own-roots/root.pem")));
    device.write_nv("0x01c0000a", &fs::read(path("ek.der")).unwrap());
    station.export(device, &[]);
}

#[test]
fn expired_and_other_certificates() {
    let device = LineDevice::uncertified("SN-1");
    let station = Station::without_roots();
    let challenge = |batch: &str, time: &str| {
        station.challenge_with(batch, &["--ek-roots", "own-roots", "--ek-time", time])
    };
    certify_by_openssl(&device, &station, "");
    failed(
        &challenge("1", "now"),
        1,
        &["ek-certificate-usage-missing", "devices-refused"],
    );
    certify_by_openssl(&device, &station, "extendedKeyUsage = clientAuth");
    failed(
        &challenge("2", "now"),
        1,
        &["ek-certificate-usage-missing", "devices-refused"],
    );
    certify_by_openssl(&device, &station, "extendedKeyUsage = 2.23.133.8.1");
    let late = challenge("3", "2099-01-01T00:00:00Z");
    failed(&late, 1, &["ek-certificate-expired", "devices-refused"]);
    succeeded(&challenge("4", "now"));
    succeeded(&challenge("5", "issued"));
    succeeded(&station.activate(&device));
    succeeded(&station.sign("5", &[]));
}

/// The line sees it at export.
#[test]
fn a_certificate_that_is_not_for_this_tpm() {
    let ca = Ca::new();
    let devices = ["SN-1", "SN-2"].map(|id| LineDevice::new(&ca, id));
    let station = Station::new(&ca);
    devices[0].certify_p256(&ca, |_| vec![], &[]);
    let foreign = devices[0].read_nv("0x01c0000a");
    devices[1].write_nv("0x01c0000a", &foreign);
    let warned = devices[1].export(&station.path("exports"), &[]);
    assert!(warned.status.success(), "{}", stderr(&warned));
    assert_eq!(codes(&warned), ["ek-certificate-for-other-key"]);
    // The next one is taken.
    let evidence = station.json("exports/SN-2.evidence.json");
    assert_eq!(evidence["endorsement"][0]["template"], "H-3");
    devices[1].write_nv("0x01c0000a", &[0xff; 100]);
    let warned = devices[1].export(&station.path("exports"), &["--ek-template", "L-2"]);
    assert_eq!(
        codes(&warned),
        ["ek-certificate-malformed", "ek-certificate-missing"]
    );
    failed(
        &devices[1].export(&station.path("exports"), &["--ek-template", "X-1"]),
        2,
        &["usage"],
    );
}

/// Indices that other software has defined, with a password.
#[test]
fn nv_indices_that_cannot_be_read() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let station = Station::new(&ca);
    let locked = |index: &str| {
        let define = ["tpm2_nvdefine", "-C", "o", "-s", "8", "-p", "secret", "-a"];
        let attributes = ["ownerwrite|authread|authwrite|no_da", index];
        device.tpm.tpm2(&[&define[..], &attributes].concat()).unwrap();
        let write = ["tpm2_nvwrite", "-C", index, "-P", "secret", "-i", "-", index];
        let content = device.path("nv");
        fs::write(&content, [0; 8]).unwrap();
        device
            .tpm
            .tpm2(&write.map(|word| if word == "-" { &content } else { word }))
            .unwrap();
    };
    // In the chain, and in the place of a certificate.
    locked("0x01c00100");
    locked("0x01c0000a");
    let warned = device.export(&station.path("exports"), &[]);
    assert!(warned.status.success(), "{}", stderr(&warned));
    assert_eq!(codes(&warned), ["nv-index-unreadable", "nv-index-unreadable"]);
    succeeded(&station.challenge("batch", &[]));
    succeeded(&station.activate(&device));
    succeeded(&station.sign("batch", &[]));
}

#[test]
fn several_challenges_on_a_device() {
    let (_ca, devices, station) = two_devices();
    succeeded(&station.challenge("batch", &[]));
    let path = |id: &str| station.path(&format!("challenges/{id}.challenge.json"));
    let [own, other] = ["SN-1", "SN-2"].map(path);
    let activate = |challenges: &[&std::path::Path]| {
        let answer = station.path("answers/SN-1.answer.json");
        let paths = challenges
            .iter()
            .map(|path| path.to_str().unwrap())
            .collect::<Vec<_>>();
        let output = ["activate", "--output", answer.to_str().unwrap()];
        devices[0].tool(&[&output[..], &paths].concat())
    };
    succeeded(&activate(&[&other, &own]));
    // A damaged one of another device.
    fs::write(&other, "{").unwrap();
    let warned = activate(&[&other, &own]);
    assert!(warned.status.success(), "{}", stderr(&warned));
    assert_eq!(codes(&warned), ["message-malformed"]);
    failed(&activate(&[&other]), 1, &["message-malformed"]);
    // One of an earlier batch.
    let copy = station.path("copy.json");
    fs::copy(&own, &copy).unwrap();
    failed(&activate(&[&own, &copy]), 1, &["challenge-duplicate"]);
}

#[test]
fn an_authorisation_of_the_endorsement_hierarchy() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let station = Station::new(&ca);
    station.export(&device, &["--ek-template", "L-1"]);
    succeeded(&station.challenge("batch", &[]));
    device
        .tpm
        .tpm2(&["tpm2_changeauth", "-c", "endorsement", "secret"])
        .unwrap();
    failed(&station.activate(&device), 3, &["tpm-authorisation-set"]);
    let refused = device.export(&station.path("exports"), &[]);
    failed(&refused, 3, &["tpm-authorisation-set"]);
}
