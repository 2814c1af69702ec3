//! Keys in an HSM, which SoftHSM plays.

use std::env;
use std::fs;
use std::process::Command;

use crate::{World, refused, run, sign, signs_as_snapd, signs_in_parallel};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "123456";

/// A SoftHSM of its own with the token "the issuer" and in it the vectors' issuer key "key 1", id 01.
struct Hsm {
    world: World,
    config: String,
}

impl Hsm {
    fn new() -> Self {
        let world = World::new();
        fs::create_dir(world.path("tokens")).unwrap();
        let config = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\n",
            world.path("tokens")
        );
        let config = world.write("softhsm2.conf", config.as_bytes(), 0o600);
        let hsm = Hsm { world, config };
        hsm.add_token("the issuer");
        hsm.add_key(&hsm.world.issuer_key(), "key 1", "01");
        hsm
    }

    fn util(&self, arguments: &[&str]) {
        let mut util = Command::new("softhsm2-util");
        run(util.args(arguments).env("SOFTHSM2_CONF", &self.config), b"");
    }

    fn add_token(&self, label: &str) {
        self.util(&[
            "--init-token",
            "--free",
            "--label",
            label,
            "--pin",
            PIN,
            "--so-pin",
            "654321",
        ]);
    }

    fn add_key(&self, pem: &str, label: &str, id: &str) {
        let key = [
            "--import",
            pem,
            "--token",
            "the issuer",
            "--label",
            label,
            "--id",
            id,
        ];
        self.util(&[&key[..], &["--pin", PIN]].concat());
    }

    /// With the PIN in the environment.
    fn sign(&self, path: &str) -> Command {
        let mut command = self.sign_without_pin(&format!("pkcs11:{path}?module-path={MODULE}"), &[]);
        command.env("PKCS11_PIN", PIN);
        command
    }

    fn sign_without_pin(&self, uri: &str, arguments: &[&str]) -> Command {
        let mut command = sign(&[&["--pkcs11", uri], arguments].concat());
        command.env("SOFTHSM2_CONF", &self.config);
        command
    }
}

#[test]
fn a_token_signs_as_snapd_does() {
    let hsm = Hsm::new();
    signs_as_snapd(&mut hsm.sign("token=the%20issuer;object=key%201;type=private"));
    signs_as_snapd(&mut hsm.sign("token=the%20issuer;id=%01;manufacturer=SoftHSM%20project"));
    signs_as_snapd(&mut hsm.sign(""));
    signs_in_parallel(hsm.sign(""));
}

#[test]
fn the_pin_comes_from_a_file_or_the_environment() {
    let hsm = Hsm::new();
    let uri = format!("pkcs11:object=key%201?module-path={MODULE}");
    let pin = hsm.world.write("pin", b"123456\n", 0o600);
    let wrong = hsm.world.write("wrong-pin", b"111111", 0o600);
    signs_as_snapd(&mut hsm.sign_without_pin(&uri, &["--pin-file", &pin]));
    signs_as_snapd(&mut hsm.sign_without_pin(&format!("{uri}&pin-source=file:{pin}"), &[]));
    // The command line overrides the URI, and both override the environment.
    let mut given = hsm.sign_without_pin(&format!("{uri}&pin-source={wrong}"), &["--pin-file", &pin]);
    signs_as_snapd(given.env("PKCS11_PIN", "111111"));
    let open = hsm.world.write("open-pin", b"123456", 0o640);
    let arguments = ["--pin-file", &open];
    refused(
        &mut hsm.sign_without_pin(&uri, &arguments),
        "file-exposed",
        &[&open, "0640"],
    );
    let arguments = ["--pin-file", &open, "--insecure-key-permissions"];
    signs_as_snapd(&mut hsm.sign_without_pin(&uri, &arguments));
    let lines = hsm.world.write("lines", b"123456\n\n", 0o600);
    refused(
        &mut hsm.sign_without_pin(&uri, &["--pin-file", &lines]),
        "pin-file-malformed",
        &[&lines],
    );
}

/// On a terminal of its own, which `script` makes.
#[test]
fn the_pin_is_asked_for_on_the_terminal() {
    let hsm = Hsm::new();
    let json = hsm.world.write(
        "headers.json",
        crate::vector("hardware-identity-p256.json").as_bytes(),
        0o600,
    );
    let command = format!(
        "{} sign --pkcs11 'pkcs11:?module-path={MODULE}' --timestamp {} < {json} > {}",
        env!("CARGO_BIN_EXE_hardware-identity"),
        crate::TIME,
        hsm.world.path("signed")
    );
    let mut script = Command::new("script");
    script
        .args(["-qec", &command, "/dev/null"])
        .env("SOFTHSM2_CONF", &hsm.config)
        .env_remove("PKCS11_PIN");
    let terminal = String::from_utf8(run(&mut script, b"123456\n")).unwrap();
    assert!(
        terminal.contains("PIN of the token \"the issuer\": "),
        "{terminal}"
    );
    let signed = fs::read_to_string(hsm.world.path("signed")).unwrap();
    assert_eq!(signed, crate::vector("hardware-identity-p256.assert"));
}

#[test]
fn a_pin_is_never_taken_from_the_command_line() {
    let hsm = Hsm::new();
    let uri = format!("pkcs11:?module-path={MODULE}&pin-value={PIN}");
    let mut command = hsm.sign_without_pin(&uri, &[]);
    refused(&mut command, "pkcs11-uri-pin", &["pin-value", "--pin-file"]);
    let output = crate::run_any(&mut command, b"");
    assert!(
        !String::from_utf8_lossy(&output.stderr).contains(PIN),
        "the PIN is repeated"
    );
}

#[test]
fn an_unusable_token_or_key_is_refused() {
    let hsm = Hsm::new();
    let small = hsm.world.openssl(
        "small.pem",
        &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    );
    hsm.add_key(&small, "small", "02");
    refused(
        hsm.sign("object=key%201").env("PKCS11_PIN", "111111"),
        "pkcs11-pin-wrong",
        &["\"the issuer\""],
    );
    refused(
        &mut hsm.sign("token=other"),
        "pkcs11-token-unknown",
        &["\"the issuer\" (serial ", "token="],
    );
    refused(
        &mut hsm.sign("object=other"),
        "pkcs11-key-unknown",
        &["key 1", "small", "object="],
    );
    refused(&mut hsm.sign(""), "pkcs11-key-ambiguous", &["object=LABEL"]);
    refused(&mut hsm.sign("object=small"), "signing-key-too-small", &["2048"]);
    refused(
        &mut hsm.sign("objekt=small"),
        "pkcs11-uri-attribute",
        &["\"objekt\""],
    );
    let missing = "pkcs11:?module-path=/no/such/module.so";
    refused(
        &mut hsm.sign_without_pin(missing, &[]),
        "pkcs11-module-not-loaded",
        &["/no/such/module.so", "module-path"],
    );
    let other = format!("pkcs11:?module-path={}", hsm.config);
    refused(
        &mut hsm.sign_without_pin(&other, &[]),
        "pkcs11-module-not-loaded",
        &[],
    );
    refused(
        hsm.sign("").env("SOFTHSM2_CONF", "/no/such/file"),
        "pkcs11-module-not-initialised",
        &[],
    );
    hsm.add_token("the issuer");
    let output = crate::run_any(&mut hsm.sign("token=the%20issuer"), b"");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let serials: Vec<&str> = stderr.split("\"the issuer\" (serial ").skip(1).collect();
    assert!(serials.len() == 2 && serials[0] != serials[1], "{stderr}");
    refused(
        &mut hsm.sign("token=the%20issuer"),
        "pkcs11-token-ambiguous",
        &["serial=NUMBER"],
    );
}

/// Such a key needs its PIN for each signature, and the tool does not store the PIN.
#[test]
fn a_key_that_demands_its_pin_each_time_is_refused() {
    let hsm = Hsm::new();
    // softhsm2-util cannot make such a key.
    let mut tool = Command::new("pkcs11-tool");
    tool.args([
        "--module",
        MODULE,
        "--token-label",
        "the issuer",
        "--login",
        "--pin",
        PIN,
    ]);
    tool.args([
        "--keypairgen",
        "--key-type",
        "rsa:2048",
        "--label",
        "demanding",
        "--always-auth",
    ]);
    run(tool.env("SOFTHSM2_CONF", &hsm.config), b"");
    refused(
        &mut hsm.sign("object=demanding"),
        "pkcs11-key-always-authenticates",
        &["CKA_ALWAYS_AUTHENTICATE"],
    );
    signs_as_snapd(&mut hsm.sign("object=key%201"));
}

/// `setsid` starts a process without a terminal.
#[test]
fn without_a_terminal_the_ways_to_give_a_pin_are_named() {
    let hsm = Hsm::new();
    let uri = format!("pkcs11:?module-path={MODULE}");
    let mut setsid = Command::new("setsid");
    setsid
        .args([
            "-w",
            env!("CARGO_BIN_EXE_hardware-identity"),
            "sign",
            "--pkcs11",
            &uri,
        ])
        .env("SOFTHSM2_CONF", &hsm.config)
        .env_remove("PKCS11_PIN");
    refused(
        &mut setsid,
        "pin-missing",
        &["--pin-file", "pin-source", "PKCS11_PIN"],
    );
}
