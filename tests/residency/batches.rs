//! Batches from export to assertion.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::device::{Ca, LineDevice};
use crate::station::{Station, verified};
use crate::{codes, failed, stderr, succeeded};

/// Each template once, with what manufacturers put around certificates in NV.
#[test]
fn each_certified_key_is_proven() {
    let ca = Ca::new();
    let devices = ["SN-1", "SN-2", "SN-3"].map(|id| LineDevice::new(&ca, id));
    let station = Station::new(&ca);
    devices[1].certify_p256(&ca, |_| vec![], &[0xff; 700]);
    // ECC keys are preferred.
    station.export(&devices[0], &["--ek-template", "L-1"]);
    station.export(&devices[1], &[]);
    station.export(&devices[2], &[]);
    succeeded(&station.challenge("batch", &[]));
    for (device, template) in devices.iter().zip(["L-1", "L-2", "H-3"]) {
        let evidence = station.json(&format!("exports/{}.evidence.json", device.id));
        assert_eq!(evidence["endorsement"][0]["template"], template);
        let challenge = station.json(&format!("challenges/{}.challenge.json", device.id));
        assert_eq!(challenge["template"], template);
        assert_eq!(challenge["hardware-id"], device.id);
        succeeded(&station.activate(device));
    }
    let key = fs::metadata(station.path("batch/key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(key & 0o777, 0o600);
    succeeded(&station.sign("batch", &["--ledger", "ledger.jsonl"]));
    assert_eq!(verified(&station.path("signed.assert")), 3);
    let ledger = station.ledger("ledger.jsonl");
    for (line, (device, template)) in ledger.iter().zip(devices.iter().zip(["L-1", "L-2", "H-3"])) {
        assert_eq!(line["hardware-id"], device.id);
        let proof = &line["proof"];
        assert_eq!(proof["template"], template);
        for member in [
            "batch",
            "ek-sha256",
            "ek-certificate-sha256",
            "root-sha256",
            "key-name",
        ] {
            assert!(proof[member].is_string(), "{member}: {line}");
        }
    }
    assert_eq!(ledger.len(), 3);
    succeeded(&station.tool(&["ledger", "verify", "ledger.jsonl"]));
}

#[test]
fn a_header_and_garbage_around_the_certificate_do_not_matter() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let header = |length: usize| {
        [
            vec![0x10, 0x01, 0x00],
            u16::try_from(length).unwrap().to_be_bytes().to_vec(),
        ]
        .concat()
    };
    device.certify_p256(&ca, header, b"\0\0garbage\x30\x82");
    let station = Station::new(&ca);
    station.export(&device, &[]);
    // The same in the evidence.
    station.change("exports/SN-1.evidence.json", |evidence| {
        assert_eq!(evidence["endorsement"][0]["template"], "L-2");
        let certificate = evidence["endorsement"][0]["certificate"].as_str().unwrap();
        let padded = [STANDARD.decode(certificate).unwrap(), b"garbage".to_vec()].concat();
        evidence["endorsement"][0]["certificate"] = json!(STANDARD.encode(padded));
    });
    succeeded(&station.challenge("batch", &[]));
    succeeded(&station.activate(&device));
    succeeded(&station.sign("batch", &[]));
}

#[test]
fn a_key_without_certificate_needs_a_list() {
    let (ca, device) = (Ca::new(), LineDevice::uncertified("SN-1"));
    let certified = LineDevice::new(&ca, "SN-2");
    let station = Station::new(&ca);
    let warned = device.export(&station.path("exports"), &[]);
    assert!(warned.status.success(), "{}", stderr(&warned));
    assert_eq!(codes(&warned), ["ek-certificate-missing"]);
    failed(
        &station.challenge("roots-only", &[]),
        1,
        &["ek-unproven", "devices-refused"],
    );
    failed(&station.challenge_with("neither", &[]), 1, &["ek-trust-missing"]);
    station.export(&certified, &[]);
    let list = |name: &str, lines: &[&str]| fs::write(station.path(name), lines.join("\n")).unwrap();
    // openssl computes the digests.
    let evidence = station.json("exports/SN-1.evidence.json");
    let sha256 = |base64: &str, command: &str| {
        let script = format!("base64 -d | {command} openssl dgst -sha256 -r | cut -d' ' -f1");
        shell(&script, base64)
    };
    let own = sha256(evidence["endorsement"][0]["public-key"].as_str().unwrap(), "");
    // So does incoming inspection, with tpm2-tools.
    device.p256_ek();
    let pem = fs::read_to_string(device.path("ek.pem")).unwrap();
    let digest = "openssl pkey -pubin -outform DER | openssl dgst -sha256 -r | cut -d' ' -f1";
    assert_eq!(shell(digest, &pem), own);
    let evidence = station.json("exports/SN-2.evidence.json");
    let key_of = "openssl x509 -inform DER -noout -pubkey | openssl pkey -pubin -outform DER |";
    let other = sha256(
        evidence["endorsement"][0]["certificate"].as_str().unwrap(),
        key_of,
    );
    list("list.csv", &["ek,hardware-id", &format!("{own},SN-1"), &other]);
    succeeded(&station.challenge("both", &["--ek-list", "list.csv"]));
    succeeded(&station.challenge_with("list-only", &["--ek-list", "list.csv"]));
    for device in [&device, &certified] {
        succeeded(&station.activate(device));
    }
    succeeded(&station.sign("list-only", &[]));
    assert_eq!(verified(&station.path("signed.assert")), 2);
    let proof = &station.ledger("list-only/ledger.jsonl")[0]["proof"];
    assert_eq!(proof["ek-sha256"], own);
    assert!(proof["root-sha256"].is_null());

    list("missing.csv", &[&format!("{own},SN-1")]);
    let refused = station.challenge("missing", &["--ek-list", "missing.csv"]);
    failed(&refused, 1, &["ek-not-listed", "devices-refused"]);
    list("other.csv", &[&format!("{own},SN-2"), &other]);
    let refused = station.challenge("other", &["--ek-list", "other.csv"]);
    failed(&refused, 1, &["ek-listed-for-other-device", "devices-refused"]);
}

fn shell(script: &str, input: &str) -> String {
    let output = std::process::Command::new("sh")
        .args(["-c", &format!("printf %s \"$INPUT\" | {script}")])
        .env("INPUT", input)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn unproven_exports_are_signed_only_if_wanted_and_marked() {
    let ca = Ca::new();
    let devices = ["SN-1", "SN-2"].map(|id| LineDevice::new(&ca, id));
    let station = Station::new(&ca);
    devices.iter().for_each(|device| station.export(device, &[]));
    succeeded(&station.challenge("batch", &[]));
    succeeded(&station.activate(&devices[0]));
    failed(
        &station.sign("batch", &[]),
        1,
        &["answer-missing", "exports-refused"],
    );
    assert!(!station.path("signed.assert").exists());
    succeeded(&station.sign("batch", &["--allow-unproven"]));
    let ledger = station.ledger("batch/ledger.jsonl");
    assert!(ledger[0]["proof"].is_object());
    assert_eq!(ledger[1]["proof"], "none");
    // Without a batch, all are unproven.
    let all = [
        "sign",
        "--key",
        "issuer.pem",
        "--allow-unproven",
        "--ledger",
        "plain.jsonl",
        "exports",
    ];
    assert!(station.tool(&all).status.success());
    assert!(
        station
            .ledger("plain.jsonl")
            .iter()
            .all(|line| line["proof"] == "none")
    );
    // A wrong answer is never accepted.
    station.change("answers/SN-1.answer.json", |answer| {
        answer["proof"] = json!("AAAA")
    });
    let wrong = station.sign("batch", &["--allow-unproven", "--ledger", "other.jsonl"]);
    failed(&wrong, 1, &["answer-wrong", "exports-refused"]);
    let stdin = [
        "sign",
        "--key",
        "issuer.pem",
        "--require-proof",
        "--batch",
        "batch",
        "--answers",
        "answers",
        "-",
    ];
    let script = "\"$0\" \"$@\" <exports/SN-1.json";
    failed(
        &station.shell(script, &stdin),
        1,
        &["evidence-on-stdin", "exports-refused"],
    );
    // Unproven exports that nothing would mark.
    for flag in ["--require-proof", "--allow-unproven"] {
        let usage = station.tool(&["sign", "--key", "issuer.pem", flag, "exports"]);
        failed(&usage, 2, &["usage"]);
    }
}

#[test]
fn the_ledger_of_a_batch_is_used_with_a_warning() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let station = Station::new(&ca);
    station.export(&device, &[]);
    succeeded(&station.challenge("batch", &[]));
    succeeded(&station.activate(&device));
    let signed = station.sign_without_ledger("batch", &[]);
    assert!(signed.status.success(), "{}", stderr(&signed));
    assert_eq!(codes(&signed), ["ledger-of-one-batch"]);
    assert_eq!(station.ledger("batch/ledger.jsonl").len(), 1);
    // Without its key, nothing can be signed or challenged as a part of the batch.
    fs::remove_file(station.path("batch/key")).unwrap();
    failed(&station.sign("batch", &[]), 1, &["file-unreadable"]);
    failed(&station.challenge("batch", &[]), 1, &["file-unreadable"]);
}

#[test]
fn exports_with_one_file_name() {
    let ca = Ca::new();
    let devices = ["SN-1", "SN-2"].map(|id| LineDevice::new(&ca, id));
    let station = Station::new(&ca);
    station.export(&devices[0], &[]);
    let challenged = |further: &[&str]| {
        let arguments = ["challenge", "--batch", "batch", "--ek-roots", "roots"];
        let all = [
            &arguments[..],
            &["--output-dir", "challenges", "exports"],
            further,
        ]
        .concat();
        station.tool(&all)
    };
    succeeded(&challenged(&[]));
    fs::create_dir(station.path("more")).unwrap();
    for end in ["json", "evidence.json"] {
        station.export(&devices[1], &[]);
        let [from, to] = [format!("exports/SN-2.{end}"), format!("more/SN-1.{end}")];
        fs::rename(station.path(&from), station.path(&to)).unwrap();
    }
    fs::remove_file(station.path("exports/SN-2.json")).unwrap();
    failed(
        &challenged(&["more"]),
        1,
        &["duplicate-export-name", "devices-refused"],
    );
    // The first one keeps its challenge, which replaces that of the earlier run.
    failed(
        &challenged(&["more", "--keep-going"]),
        1,
        &["duplicate-export-name", "devices-left-out"],
    );
    succeeded(&station.activate(&devices[0]));
}

#[test]
fn a_batch_keeps_its_settings() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let station = Station::new(&ca);
    station.export(&device, &[]);
    succeeded(&station.challenge("batch", &[]));
    // The same settings, or none, go on with the batch: its earlier answers count.
    succeeded(&station.activate(&device));
    succeeded(&station.challenge_with("batch", &[]));
    succeeded(&station.challenge("batch", &["--ek-time", "now"]));
    let other = station.challenge("batch", &["--ek-time", "issued"]);
    failed(&other, 1, &["batch-settings-differ"]);
    fs::remove_file(station.path("roots/issuer.pem")).unwrap();
    failed(&station.challenge("batch", &[]), 1, &["batch-settings-differ"]);
    succeeded(&station.sign("batch", &[]));

    fs::set_permissions(station.path("batch/key"), fs::Permissions::from_mode(0o644)).unwrap();
    failed(&station.sign("batch", &[]), 1, &["file-exposed"]);
    fs::set_permissions(station.path("batch/key"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(station.path("batch/key"), "00".repeat(32)).unwrap();
    failed(&station.sign("batch", &[]), 1, &["batch-damaged"]);
    fs::write(station.path("batch/roots.pem"), "").unwrap();
    failed(&station.sign("batch", &[]), 1, &["batch-damaged"]);
    failed(&station.sign("no-batch", &[]), 1, &["file-unreadable"]);
    fs::write(station.path("roots/README"), "not a certificate").unwrap();
    failed(&station.challenge("new", &[]), 1, &["ek-root-malformed"]);
    assert!(!station.path("new").exists());
}

#[test]
fn a_dictionary_attack_lockout_does_not_matter() {
    let device = LineDevice::uncertified("SN-1");
    let station = Station::without_roots();
    let tpm2 = |command: &str| device.tpm.tpm2(&command.split(' ').collect::<Vec<_>>());
    tpm2("tpm2_dictionarylockout -s -n 1 -t 1000 -l 1000").unwrap();
    // One wrong password is enough.
    tpm2("tpm2_nvdefine -C o -s 8 -a authread|authwrite -p right 0x1500001").unwrap();
    assert!(tpm2("tpm2_nvread -C 0x1500001 -P wrong 0x1500001").is_err());
    for template in ["L-1", "L-2", "H-1", "H-2", "H-3", "H-6"] {
        let exported = device.export(&station.path("exports"), &["--ek-template", template]);
        assert!(exported.status.success(), "{}", stderr(&exported));
        let evidence = station.json("exports/SN-1.evidence.json");
        let key = STANDARD
            .decode(evidence["endorsement"][0]["public-key"].as_str().unwrap())
            .unwrap();
        fs::write(station.path("list.csv"), hex::encode(Sha256::digest(key))).unwrap();
        succeeded(&station.challenge_with(template, &["--ek-list", "list.csv"]));
        succeeded(&station.activate(&device));
        succeeded(&station.sign(template, &[]));
    }
}
