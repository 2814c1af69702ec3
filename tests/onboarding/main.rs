//! From the factory to the serial assertion, with the real hooks, tool and model service, and the
//! testbed in snapd's place.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

#[cfg(all(feature = "pkcs11", feature = "software"))]
mod backends;
mod bench;
mod faults;

use std::fs;
use std::process::{Command, Output};

use bench::{Bench, Factory, succeed};
use serde_json::Value;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The serial assertion on stdout.
fn serial(output: &Output) -> snap_assertions::Assertion {
    assert!(output.status.success(), "{}", stderr(output));
    snap_assertions::decode(&output.stdout).unwrap()
}

#[test]
fn each_algorithm_in_both_digest_forms() {
    let bench = Bench::start();
    for algorithm in ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072"] {
        for form in ["text", "der"] {
            let settings = format!(
                "algorithm = \"{algorithm}\"\ndigest-form = \"{form}\"\n[registration]\nproposed-serial = \"key-digest\"\n"
            );
            let factory = Factory::new(&settings);
            bench.enroll(&factory);
            let output = bench.onboard(factory.directory(), &[]);
            let log = stderr(&output);
            assert!(log.contains("its signature is right"), "{log}");
            let digest =
                factory.device().config("registration.body").unwrap().unwrap()["hardware-id-key-sha3-384"]
                    .clone();
            assert_eq!(
                serial(&output).header("serial").map(Value::from),
                Some(digest),
                "{algorithm} {form}"
            );
        }
    }
}

#[test]
fn a_device_registers_again_with_the_same_identity() {
    let bench = Bench::start();
    let factory = Factory::new("");
    let unknown = bench.onboard(factory.directory(), &[]);
    let log = stderr(&unknown);
    assert_eq!(unknown.status.code(), Some(1), "{log}");
    let last = log.lines().last().unwrap();
    assert!(
        unknown.stdout.is_empty() && last.contains("serial refused with 403: "),
        "{log}"
    );

    bench.enroll(&factory);
    let taken = bench.onboard(factory.directory(), &["--proposed-serial", "SN-1"]);
    let log = stderr(&taken);
    assert!(log.contains("[serial-not-hardware-id]"), "{log}");
    let first = serial(&bench.onboard(factory.directory(), &[]));
    // The disk is wiped; only the TPM keeps its state.
    for name in ["save", "data", "common", "state.json"] {
        let path = factory.directory().join(name);
        match path.is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }
    let again = bench.onboard(factory.directory(), &["--proposed-serial", "SN-2"]);
    assert_eq!(serial(&again).header("serial"), first.header("serial"));
}

#[test]
fn a_serial_of_another_signer_is_refused() {
    let bench = Bench::start();
    let factory = Factory::new("");
    bench.enroll(&factory);
    let key = bench.file("assertions/brand.account-key");
    fs::copy(key, bench.file("assertions/serial.account-key")).unwrap();
    let output = bench.onboard(factory.directory(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no --account-key is for"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn over_https() {
    let directory = tempfile::tempdir().unwrap();
    let made = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (made("tls.pem"), made("tls.key"));
    let mut openssl = Command::new("openssl");
    openssl
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=bench",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &certificate]);
    succeed(&mut openssl);
    let tls = format!("\n[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
    let bench = Bench::start_with(&tls);
    assert!(bench.url.starts_with("https://"), "{}", bench.url);
    let factory = Factory::new("");
    bench.enroll(&factory);
    serial(&bench.onboard(factory.directory(), &["--certificates", &certificate]));

    let stranger = bench.onboard(factory.directory(), &["--runs", "1"]);
    let log = stderr(&stranger);
    assert!(
        stranger.status.code() == Some(1) && log.contains("certificate"),
        "{log}"
    );
}
