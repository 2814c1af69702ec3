//! `model-service check`.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use common::hsm::HsmBench;
use common::{Bench, failed, key_id, sign};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// The checks with a problem: outcome, name and code.
#[track_caller]
fn problems(output: &Output) -> Vec<[String; 3]> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let field = |check: &Value, name: &str| check[name].as_str().unwrap().to_owned();
    let found: Vec<_> = checks
        .iter()
        .filter(|check| check["outcome"] != "ok")
        .map(|check| ["outcome", "check", "code"].map(|name| field(check, name)))
        .collect();
    let count = |outcome| found.iter().filter(|problem| problem[0] == outcome).count();
    assert_eq!(report["errors"], count("error"));
    assert_eq!(report["warnings"], count("warning"));
    found
}

#[track_caller]
fn check(bench: &Bench) -> Vec<[String; 3]> {
    let output = bench.run(&["check"], &["--json"]);
    let problems = problems(&output);
    match problems.iter().any(|problem| problem[0] == "error") {
        true => failed(&output, 1, "check-failed"),
        false => assert!(output.status.success(), "{output:?}"),
    }
    problems
}

#[track_caller]
fn finds(bench: &Bench, outcome: &str, check_name: &str, code: &str) {
    assert_eq!(check(bench), [[outcome, check_name, code].map(str::to_owned)]);
}

#[test]
fn a_good_bench_also_while_the_service_runs() {
    let bench = Bench::new();
    assert_eq!(check(&bench), Vec::<[String; 3]>::new());
    let service = bench.serve();
    let output = bench.run(&["check"], &[]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for name in [
        "settings",
        "account-keys",
        "serial-key",
        "model",
        "tokens",
        "page",
        "database",
    ] {
        let line = format!("ok: {name}: ");
        assert!(
            text.lines().any(|found| found.starts_with(&line)),
            "{name}: {text}"
        );
    }
    service.nonce();
}

#[test]
fn errors_in_files() {
    let bench = Bench::new();
    let good = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let one = |settings: String, check: &str, code: &str| {
        bench.write("settings.toml", settings.as_bytes());
        finds(&bench, "error", check, code);
        bench.write("settings.toml", good.as_bytes());
    };
    one("listen = 1".to_owned(), "settings", "service-settings-invalid");
    one(
        good.replace("issuer.account-key", "settings.toml"),
        "account-keys",
        "account-key-file-invalid",
    );
    one(
        good.replace("serial.pem", "token"),
        "serial-key",
        "serial-key-invalid",
    );
    one(
        good.replace("= \"token\"", "= \"none\""),
        "tokens",
        "file-unreadable",
    );
    one(
        good.replace("= \"password\"", "= \"none\""),
        "page",
        "file-unreadable",
    );
    let expose = |name: &str, mode| {
        fs::set_permissions(bench.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    for (name, check) in [
        ("token", "tokens"),
        ("password", "page"),
        ("serial.pem", "serial-key"),
        ("api-key", "model"),
    ] {
        expose(name, 0o644);
        finds(&bench, "error", check, "file-exposed");
        expose(name, 0o600);
    }
}

fn account_key(account: &str, key: &str, until: Timestamp, constraints: Option<Value>) -> String {
    let mut statement = json!({
        "type": "account-key", "authority-id": account, "account-id": account, "name": "default",
        "public-key-sha3-384": key_id(key), "since": "2020-01-01T00:00:00Z", "until": until.to_string(),
        "body": common::encoded_key(key),
    });
    if let Some(constraints) = constraints {
        statement["format"] = "1".into();
        statement["constraints"] = constraints;
    }
    sign(statement, key)
}

#[test]
fn the_trust_chain() {
    let bench = Bench::new();
    let good = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let write = |name: &str, text: String| drop(bench.write(name, text.as_bytes()));
    let from_now = |days: i64| {
        let seconds = Timestamp::now().as_second() + SignedDuration::from_hours(days * 24).as_secs();
        Timestamp::from_second(seconds).unwrap()
    };
    let brand = fs::read_to_string(bench.path("brand.account-key")).unwrap();
    let issuer = fs::read_to_string(bench.path("issuer.account-key")).unwrap();

    write(
        "brand.account-key",
        account_key("brand-acme", "brand", from_now(29), None),
    );
    finds(&bench, "warning", "account-keys", "account-key-expires-soon");
    write(
        "brand.account-key",
        account_key("brand-acme", "brand", from_now(31), None),
    );
    assert_eq!(check(&bench), Vec::<[String; 3]>::new());
    write("brand.account-key", common::expired_key("brand-acme", "brand"));
    assert!(check(&bench).contains(&["error", "model", "account-key-expired"].map(str::to_owned)));

    // A key that may sign models only.
    let constraints = json!([{ "headers": { "type": "model" } }]);
    let constrained = account_key("brand-acme", "brand", from_now(99), Some(constraints));
    write("brand.account-key", constrained);
    assert!(check(&bench).contains(&["error", "model", "key-constrained"].map(str::to_owned)));
    write("brand.account-key", brand);

    write("issuer.account-key", common::expired_key("acme", "issuer"));
    let found = check(&bench);
    assert!(found.contains(&["warning", "account-keys", "account-key-not-valid-now"].map(str::to_owned)));
    assert!(found.contains(&["warning", "model", "issuer-without-account-key"].map(str::to_owned)));
    write("issuer.account-key", issuer);

    // Serials by another account than the brand.
    let other = good.replace("serial-key = \"serial.pem\"", "serial-key = \"issuer.pem\"");
    write("issuer.pem", common::pem("issuer"));
    write("settings.toml", other.clone());
    assert!(check(&bench).contains(&["warning", "model", "serial-authority-needed"].map(str::to_owned)));
    write("settings.toml", other.replace("\"brand.account-key\", ", ""));
    assert!(check(&bench).contains(&["error", "model", "brand-without-account-key"].map(str::to_owned)));
}

#[test]
fn the_login_to_an_hsm() {
    let hsm = HsmBench::new("");
    let check = |expected: &[&str]| {
        let output = hsm.command("check").arg("--json").output().unwrap();
        let codes: Vec<_> = problems(&output).into_iter().map(|[_, _, code]| code).collect();
        assert_eq!(codes, expected);
        output
    };
    check(&[]);
    hsm.bench.write("pin", b"999999");
    let output = check(&["serial-key-failed"]);
    failed(&output, 1, "check-failed");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("[pkcs11-pin-wrong]"), "{text}");
    assert!(!text.contains("999999"));
    hsm.bench.write("pin", common::hsm::PIN.as_bytes());
    hsm.remove();
    check(&["serial-key-failed"]);
}

/// A certificate by openssl, whose date openssl tells too.
#[test]
fn the_end_of_a_tls_certificate() {
    let bench = Bench::new();
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let tls = "[tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\n\n[limits]";
    bench.write("settings.toml", settings.replace("[limits]", tls).as_bytes());
    let make = |days: &str| {
        let made = std::process::Command::new("openssl")
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
                "-subj",
                "/CN=localhost",
                "-keyout",
                "tls.key",
                "-out",
                "tls.pem",
                "-days",
                days,
            ])
            .current_dir(bench.path(""))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    make("2");
    finds(&bench, "warning", "tls", "tls-certificate-expires-soon");
    // 2050 and later are in another format.
    make("20000");
    let output = bench.run(&["check"], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let shown = std::process::Command::new("openssl")
        .args([
            "x509", "-in", "tls.pem", "-noout", "-enddate", "-dateopt", "iso_8601",
        ])
        .current_dir(bench.path(""))
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let date = shown.trim().trim_start_matches("notAfter=").replace(' ', "T");
    assert!(text.contains(&format!("valid until {date}")), "{date}: {text}");
    fs::remove_file(bench.path("tls.key")).unwrap();
    finds(&bench, "error", "tls", "file-unreadable");
}
