//! Keys in PEM files.

use std::fs;
use std::process::Command;

use crate::{
    ASSERTION, World, issuer, refused, run, sign, signed_assertion, signs_as_snapd, signs_in_parallel, vector,
};

#[test]
fn pkcs8_and_pkcs1_sign_as_snapd_does() {
    let world = World::new();
    let pkcs8 = world.issuer_key();
    assert!(
        fs::read_to_string(&pkcs8)
            .unwrap()
            .starts_with("-----BEGIN PRIVATE KEY-----")
    );
    signs_as_snapd(&mut sign(&["--key", &pkcs8]));
    signs_in_parallel(sign(&["--key", &pkcs8]));
    let pkcs1 = world.openssl("pkcs1.pem", &["rsa", "-traditional", "-in", &pkcs8]);
    assert!(
        fs::read_to_string(&pkcs1)
            .unwrap()
            .starts_with("-----BEGIN RSA PRIVATE KEY-----")
    );
    signs_as_snapd(&mut sign(&["--key", &pkcs1]));
}

#[test]
fn a_key_that_others_can_read_or_write_is_refused() {
    let world = World::new();
    let key = fs::read(world.issuer_key()).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o644] {
        let file = world.write("key.pem", &key, mode);
        let mode = format!("{mode:04o}");
        refused(&mut sign(&["--key", &file]), "file-exposed", &[&mode]);
        signs_as_snapd(&mut sign(&["--key", &file, "--insecure-key-permissions"]));
    }
    for mode in [0o600, 0o400, 0o711] {
        signs_as_snapd(&mut sign(&["--key", &world.write("key.pem", &key, mode)]));
    }
}

#[test]
fn an_unusable_key_is_refused_with_its_reason() {
    let world = World::new();
    let issuer = world.issuer_key();
    let aes = ["-aes-256-cbc", "-passout", "pass:secret"];
    let made = |name: &str, arguments: &[&str]| world.openssl(name, arguments);
    let [encrypted, old, small, ec, ec_old, public, der] = [
        made(
            "encrypted",
            &[
                &["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", &issuer],
                &aes[1..],
            ]
            .concat(),
        ),
        made(
            "old",
            &[&["rsa", "-traditional", "-in", &issuer], &aes[..]].concat(),
        ),
        made("small", &["genrsa", "2048"]),
        made(
            "ec",
            &[
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ],
        ),
        made("ec-old", &["ecparam", "-name", "prime256v1", "-genkey", "-noout"]),
        made("public", &["pkey", "-in", &issuer, "-pubout"]),
        made("der", &["pkey", "-in", &issuer, "-outform", "DER"]),
    ];
    let empty = world.write("empty", b"", 0o600);
    let large = world.write("large", &vec![b'a'; 1 << 20], 0o600);
    let missing = world.path("missing");
    for (file, code) in [
        (&encrypted, "key-file-encrypted"),
        (&old, "key-file-encrypted"),
        (&small, "signing-key-too-small"),
        (&ec, "key-file-not-rsa"),
        (&ec_old, "key-file-wrong-block"),
        (&public, "key-file-wrong-block"),
        (&der, "key-file-not-pem"),
        (&empty, "key-file-not-pem"),
        (&large, "file-too-large"),
        (&missing, "file-unreadable"),
    ] {
        refused(&mut sign(&["--key", file]), code, &[file]);
    }
}

/// The advice for an encrypted key.
#[test]
fn a_key_is_read_from_a_pipe() {
    let world = World::new();
    let key = world.issuer_key();
    let script = format!(
        "{} sign --key <(openssl pkey -in {key}) --timestamp 2026-11-21T18:00:29Z",
        env!("CARGO_BIN_EXE_hardware-identity")
    );
    let mut bash = Command::new("bash");
    let assertion = run(
        bash.args(["-c", &script]),
        vector(&format!("{ASSERTION}.json")).as_bytes(),
    );
    assert_eq!(
        String::from_utf8(assertion).unwrap(),
        vector(&format!("{ASSERTION}.assert"))
    );
}

/// A named FIFO would block until somebody writes to it.
#[test]
fn a_named_fifo_is_refused() {
    let world = World::new();
    let fifo = world.path("fifo");
    run(Command::new("mkfifo").args(["-m", "600", &fifo]), b"");
    refused(&mut sign(&["--key", &fifo]), "file-not-regular", &[&fifo]);
    let key = world.issuer_key();
    refused(&mut sign(&["--key", &key, &fifo]), "file-not-regular", &[&fifo]);
}

/// With nothing of this project but the layout of the packet (RFC 4880, section 5.2.4).
#[test]
fn openssl_verifies_a_signature() {
    let world = World::new();
    let assertion = signed_assertion(&mut sign(&["--key", &world.issuer_key()]));
    let packet = assertion.signature().unwrap().to_bytes();
    let key = world.write("key.der", &issuer().to_spki_der(), 0o600);
    let signature = world.write("signature", &packet[packet.len() - 512..], 0o600);
    let signed = [
        assertion.content().as_bytes(),
        &packet[3..15],
        &[4, 0xff, 0, 0, 0, 12],
    ]
    .concat();
    let data = world.write("data", &signed, 0o600);
    let mut openssl = Command::new("openssl");
    openssl.args([
        "dgst",
        "-sha512",
        "-keyform",
        "DER",
        "-verify",
        &key,
        "-signature",
        &signature,
        &data,
    ]);
    assert_eq!(run(&mut openssl, b""), b"Verified OK\n");
}
