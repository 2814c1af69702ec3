//! tpm2-tools on both sides, and keys that do not live in the TPM.

use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::bench::succeed;
use crate::device::{Ca, LineDevice};
use crate::station::Station;
use crate::{failed, succeeded};

/// The header of tpm2-tools' file with a credential: a magic number and a version.
const HEADER: [u8; 8] = [0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1];

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn bytes(message: &Value, member: &str) -> Vec<u8> {
    STANDARD.decode(message[member].as_str().unwrap()).unwrap()
}

/// A challenge as the file that tpm2_activatecredential reads.
fn credential_file(challenge: &Value) -> Vec<u8> {
    let parts = ["credential-blob", "encrypted-secret"].map(|member| sized(&bytes(challenge, member)));
    [&HEADER[..], &parts[0], &parts[1]].concat()
}

/// Runs tpm2_activatecredential for the key in `key`, and for the endorsement key of a low-range
/// template. Returns the secret, or what the tool said.
fn activate_by_tools(
    device: &LineDevice,
    kind: &str,
    key: &str,
    credential: &[u8],
) -> Result<Vec<u8>, String> {
    let [ek, session, file, secret] =
        ["ek.ctx", "session.ctx", "credential", "secret"].map(|name| device.path(name));
    fs::write(&file, credential).unwrap();
    let tpm2 = |arguments: &[&str]| device.tpm.tpm2(arguments).map_err(|error| format!("{error:#}"));
    tpm2(&["tpm2_createek", "-G", kind, "-c", &ek]).unwrap();
    device.tpm.resource_manager(false);
    tpm2(&["tpm2_startauthsession", "--policy-session", "-S", &session]).unwrap();
    tpm2(&["tpm2_policysecret", "-S", &session, "-c", "e"]).unwrap();
    let authorisation = format!("session:{session}");
    let activated = tpm2(&[
        "tpm2_activatecredential",
        "-c",
        key,
        "-C",
        &ek,
        "-i",
        &file,
        "-o",
        &secret,
        "-P",
        &authorisation,
    ]);
    let _ = tpm2(&["tpm2_flushcontext", &session]);
    tpm2(&["tpm2_flushcontext", "-t"]).unwrap();
    device.tpm.resource_manager(true);
    activated.map(|_| fs::read(&secret).unwrap())
}

/// HMAC-SHA256, by openssl.
fn proof(secret: &[u8], challenge: &Value) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("message");
    let id = challenge["hardware-id"].as_str().unwrap();
    fs::write(&file, [&bytes(challenge, "key-name"), id.as_bytes()].concat()).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-mac", "HMAC", "-binary", "-macopt"]);
    let tag = succeed(openssl.arg(format!("hexkey:{}", hex::encode(secret))).arg(&file)).stdout;
    STANDARD.encode(tag)
}

#[test]
fn tpm2_activatecredential_answers_our_challenges() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    device.certify_p256(&ca, |_| vec![], &[]);
    let station = Station::new(&ca);
    for (template, kind) in [("L-1", "rsa"), ("L-2", "ecc")] {
        station.export(&device, &["--ek-template", template]);
        succeeded(&station.challenge(template, &[]));
        let challenge = station.json("challenges/SN-1.challenge.json");
        let secret = activate_by_tools(&device, kind, "0x81018C00", &credential_file(&challenge)).unwrap();
        let answer = json!({
            "type": "hardware-identity-answer", "version": 1, "hardware-id": "SN-1",
            "key-name": challenge["key-name"], "proof": proof(&secret, &challenge),
        });
        fs::write(station.path("answers/SN-1.answer.json"), answer.to_string()).unwrap();
        succeeded(&station.sign(template, &[]));
    }
}

#[test]
fn tpm2_makecredential_is_answered() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let name = record_name(&device);
    for (template, kind) in [("L-1", "rsa"), ("L-2", "ecc")] {
        let [ek, public, secret, file] =
            ["ek.ctx", "ek.pub", "secret", "credential"].map(|name| device.path(name));
        device
            .tpm
            .tpm2(&["tpm2_createek", "-G", kind, "-c", &ek, "-u", &public])
            .unwrap();
        fs::write(&secret, [7; 32]).unwrap();
        let make = [
            "tpm2_makecredential",
            "-u",
            &public,
            "-s",
            &secret,
            "-n",
            &hex::encode(&name),
            "-o",
            &file,
        ];
        device.tpm.tpm2(&make).unwrap();
        let made = fs::read(&file).unwrap();
        let rest = made.strip_prefix(&HEADER).unwrap();
        let (blob, rest) = take(rest);
        let (encrypted, _) = take(rest);
        let challenge = json!({
            "type": "hardware-identity-challenge", "version": 1, "hardware-id": "SN-1",
            "key-name": STANDARD.encode(&name), "template": template,
            "credential-blob": STANDARD.encode(blob), "encrypted-secret": STANDARD.encode(encrypted),
        });
        fs::write(device.path("challenge.json"), challenge.to_string()).unwrap();
        let answered = device.tool(&["activate", &device.path("challenge.json")]);
        succeeded(&answered);
        let answer: Value = serde_json::from_slice(&answered.stdout).unwrap();
        assert_eq!(answer["proof"], proof(&[7; 32], &challenge), "{template}");
    }
}

fn take(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (size, rest) = bytes.split_at(2);
    rest.split_at(usize::from(u16::from_be_bytes([size[0], size[1]])))
}

/// The Name of the identity key, which tpm2-tools compute.
fn record_name(device: &LineDevice) -> Vec<u8> {
    let file = device.path("name");
    device
        .tpm
        .tpm2(&["tpm2_readpublic", "-c", "0x81018C00", "-n", &file])
        .unwrap();
    fs::read(file).unwrap()
}

/// An attacker puts a software key in the place of the device's.
#[test]
fn a_software_key_is_never_proven() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    device.certify_p256(&ca, |_| vec![], &[]);
    let station = Station::new(&ca);
    station.export(&device, &[]);
    let (key, key_file) = software_key(&device);
    let name = residency::names(&key).remove(0);
    station.change("exports/SN-1.json", |export| {
        export["hardware-id-key"] = json!(key.header_value());
        export["hardware-id-key-sha3-384"] = json!(key.digest(identity_key::DigestForm::Text));
    });
    station.change("exports/SN-1.evidence.json", |evidence| {
        evidence["key-name"] = json!(STANDARD.encode(&name));
    });
    // The station cannot tell yet.
    succeeded(&station.challenge("batch", &[]));
    let challenge = station.json("challenges/SN-1.challenge.json");
    let credential = credential_file(&challenge);
    failed(&station.activate(&device), 3, &["challenge-for-other-key"]);

    // Only the public half, with the attributes of the template.
    let identity_key::Unique::Point { x, y } = key.unique() else {
        panic!("not a point")
    };
    let parameters = [0x00, 0x10, 0x00, 0x18, 0x00, 0x0b, 0x00, 0x03, 0x00, 0x10];
    let attributes = [0x00, 0x04, 0x04, 0x72, 0x00, 0x00];
    let area = [
        &[0x00, 0x23, 0x00, 0x0b][..],
        &attributes,
        &parameters,
        &sized(x),
        &sized(y),
    ]
    .concat();
    let [public, context] = ["public", "key.ctx"].map(|name| device.path(name));
    fs::write(&public, sized(&area)).unwrap();
    device
        .tpm
        .tpm2(&["tpm2_loadexternal", "-C", "e", "-u", &public, "-c", &context])
        .unwrap();
    let refused = activate_by_tools(&device, "ecc", &context, &credential).unwrap_err();
    assert!(
        refused.contains("0x12f") || refused.contains("0x12F"),
        "{refused}"
    );

    // Both halves: a TPM does not load them with fixedTPM, so the Name is another one.
    let load = [
        "tpm2_loadexternal",
        "-C",
        "n",
        "-G",
        "ecc",
        "-r",
        &key_file,
        "-c",
        &context,
        "-a",
    ];
    assert!(
        device
            .tpm
            .tpm2(&[&load[..], &["fixedtpm|fixedparent|userwithauth|noda|sign"]].concat())
            .is_err()
    );
    device
        .tpm
        .tpm2(&[&load[..], &["userwithauth|noda|sign"]].concat())
        .unwrap();
    let refused = activate_by_tools(&device, "ecc", &context, &credential).unwrap_err();
    assert!(
        refused.contains("0x1df") || refused.contains("0x1DF"),
        "{refused}"
    );

    failed(
        &station.sign("batch", &[]),
        1,
        &["answer-missing", "exports-refused"],
    );
    let forged = json!({
        "type": "hardware-identity-answer", "version": 1, "hardware-id": "SN-1",
        "key-name": challenge["key-name"], "proof": proof(&[0; 32], &challenge),
    });
    fs::write(station.path("answers/SN-1.answer.json"), forged.to_string()).unwrap();
    failed(
        &station.sign("batch", &[]),
        1,
        &["answer-wrong", "exports-refused"],
    );
}

/// A P-256 key of openssl, and its file.
fn software_key(device: &LineDevice) -> (identity_key::IdentityPublicKey, String) {
    let file = device.path("software.pem");
    succeed(Command::new("openssl").args([
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        &file,
    ]));
    let der =
        succeed(Command::new("openssl").args(["pkey", "-in", &file, "-pubout", "-outform", "DER"])).stdout;
    (identity_key::IdentityPublicKey::from_der(&der).unwrap(), file)
}
