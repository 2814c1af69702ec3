//! The station as curl and openssl see it, and clients that mean no good.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::device::{Ca, LineDevice};
use crate::line::{FactoryLine, RunningStation, TOKEN};
use crate::station::verified;
use crate::succeeded;

/// SHA-256 of the endorsement key in evidence without a certificate.
pub(crate) fn ek_digest(evidence: &Value) -> String {
    let key = evidence["endorsement"][0]["public-key"].as_str().unwrap();
    hex::encode(Sha256::digest(STANDARD.decode(key).unwrap()))
}

impl RunningStation {
    /// What curl gets: the status and the body.
    pub(crate) fn curl(&self, path: &str, arguments: &[&str]) -> (u16, String) {
        let output = self.run_curl(path, arguments);
        assert!(output.status.success(), "{}", crate::stderr(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    fn run_curl(&self, path: &str, arguments: &[&str]) -> Output {
        let mut curl = Command::new("curl");
        // --insecure leaves out the CA, not the pin.
        curl.args(["-sS", "--insecure", "--max-time", "100", "-w", "\n%{http_code}"]);
        curl.args(["--pinnedpubkey", &self.pin]).args(arguments);
        curl.arg(format!("{}{path}", self.address)).output().unwrap()
    }

    /// A request with the token and a JSON body.
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let token = format!("Authorization: Bearer {TOKEN}");
        let (status, body) = self.curl(path, &["-H", &token, "--data-binary", &body.to_string()]);
        (status, serde_json::from_str(&body).unwrap())
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address.strip_prefix("https://").unwrap()).unwrap()
    }
}

#[track_caller]
fn refused((status, body): (u16, String), expected: u16, code: &str) {
    let body: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{status} {body:?}"));
    assert_eq!((status, body["code"].as_str()), (expected, Some(code)), "{body}");
    assert!(body["cause"].is_string() && body["advice"].is_string());
}

#[test]
fn curl_proves_a_device_with_the_files_of_the_batch_commands() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let line = FactoryLine::new(&ca);
    let station = line.serve(&FactoryLine::signing(&["--ek-roots", "roots"]));
    line.files.export(&device, &[]);
    let mut request = json!({
        "export": line.files.json("exports/SN-1.json"),
        "evidence": line.files.json("exports/SN-1.evidence.json"),
    });
    let (status, challenge) = station.post("/v1/challenge", &request);
    assert_eq!(status, 200, "{challenge}");
    fs::create_dir(line.path("challenges")).unwrap();
    fs::write(line.path("challenges/SN-1.challenge.json"), challenge.to_string()).unwrap();
    succeeded(&line.files.activate(&device));
    request["answer"] = line.files.json("answers/SN-1.answer.json");

    let mut wrong = request.clone();
    wrong["answer"]["proof"] = json!(STANDARD.encode([0; 32]));
    for (path, request, code) in [
        ("/v1/answer", &wrong, "answer-wrong"),
        ("/v1/answer", &json!({}), "station-request-malformed"),
        (
            "/v1/answer",
            &json!({"export": {}, "evidence": {}}),
            "station-request-malformed",
        ),
        ("/v1/challenge", &request, "station-request-malformed"),
        (
            "/v1/challenge",
            &json!({"export": {}, "evidence": {}}),
            "export-wrong-type",
        ),
    ] {
        let (status, body) = station.post(path, request);
        assert_eq!((status, body["code"].as_str()), (422, Some(code)), "{body}");
    }
    let mut other = request.clone();
    other["evidence"]["hardware-id"] = json!("SN-2");
    assert_eq!(
        station.post("/v1/answer", &other).1["code"],
        "lot-evidence-for-other-device"
    );
    assert!(!line.path("signed.assert").exists() || fs::read(line.path("signed.assert")).unwrap().is_empty());
    let (status, result) = station.post("/v1/answer", &request);
    assert_eq!((status, &result["result"]), (200, &json!("signed")), "{result}");
    assert_eq!(verified(&line.path("signed.assert")), 1);
}

#[test]
fn openssl_finds_the_pin() {
    let line = FactoryLine::without_roots();
    fs::write(line.path("list.csv"), "").unwrap();
    let station = line.serve(&FactoryLine::signing(&["--ek-list", "list.csv"]));
    let script = "openssl s_client -connect \"$1\" </dev/null 2>/dev/null | openssl x509 -pubkey -noout \
                  | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64";
    let address = station.address.strip_prefix("https://").unwrap();
    let found = line.files.shell(script, &[address]);
    let found = String::from_utf8(found.stdout).unwrap();
    assert_eq!(format!("sha256//{}", found.trim()), station.pin);
    let other = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    // CURLE_SSL_PINNEDPUBKEYNOTMATCH.
    assert_eq!(
        station.run_curl("/", &["--pinnedpubkey", other]).status.code(),
        Some(90)
    );
    station.kill();
}

#[test]
fn requests_that_mean_no_good() {
    let line = FactoryLine::without_roots();
    fs::write(line.path("list.csv"), "").unwrap();
    let station = line.serve(&FactoryLine::signing(&["--ek-list", "list.csv"]));
    let token = format!("Authorization: Bearer {TOKEN}");
    for (wrong, right) in [
        ("Authorization: Bearer x", false),
        ("X: y", false),
        (token.as_str(), true),
    ] {
        let response = station.curl("/v1/challenge", &["-H", wrong, "-d", "{}"]);
        match right {
            false => refused(response, 401, "station-token-wrong"),
            true => refused(response, 422, "station-request-malformed"),
        }
    }
    // The token is not a password of the page, which this station does not have.
    let page = station.curl("/", &["-u", &format!("line:{TOKEN}")]);
    refused(page, 404, "station-without-page");
    refused(station.curl("/none", &[]), 404, "station-address-unknown");
    refused(
        station.curl("/v1/challenge", &[]),
        405,
        "station-method-unsupported",
    );
    for size in [400_000, 5_000_000] {
        fs::write(line.path("body"), vec![b' '; size]).unwrap();
        let body = format!("@{}", line.path("body").display());
        for further in [&[][..], &["-H", "Transfer-Encoding: chunked"], &["-H", "Expect:"]] {
            let arguments = [&["-H", &token, "--data-binary", &body], further].concat();
            refused(
                station.curl("/v1/answer", &arguments),
                413,
                "station-request-too-large",
            );
        }
    }
    // Large requests at the same time do not exhaust the memory.
    let large = json!({"export": {"type": " ".repeat(380_000)}, "evidence": {}});
    fs::write(line.path("body"), large.to_string()).unwrap();
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "--insecure",
        "-Z",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}\n",
        "-H",
        &token,
    ]);
    let curl = curl.args(["--data-binary", &format!("@{}", line.path("body").display())]);
    let large = curl
        .arg(format!("{}/v1/challenge?[1-100]", station.address))
        .output()
        .unwrap();
    let statuses = String::from_utf8(large.stdout).unwrap();
    assert_eq!(
        statuses.lines().filter(|status| *status == "422").count(),
        100,
        "{statuses}"
    );
    assert!(station.peak_memory() < 128 << 10, "{} KiB", station.peak_memory());
    // Deep JSON does not exhaust the stack.
    fs::write(line.path("body"), "[".repeat(300_000)).unwrap();
    let body = format!("@{}", line.path("body").display());
    let deep = station.curl("/v1/answer", &["-H", &token, "--data-binary", &body]);
    refused(deep, 422, "station-request-malformed");
    assert!(line.failures().iter().all(|(id, _)| id.is_empty()));
}

#[test]
fn slow_clients_and_guesses_do_not_stop_the_station() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let line = FactoryLine::new(&ca);
    let station = line.serve(&FactoryLine::signing(&["--ek-roots", "roots"]));
    let mut idle: Vec<_> = (0..40).map(|_| station.connect()).collect();
    let mut head = Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-connect",
            station.address.strip_prefix("https://").unwrap(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = head.stdin.take().unwrap();
    stdin
        .write_all(b"POST /v1/challenge HTTP/1.1\r\nHost: x\r\n")
        .unwrap();
    thread::scope(|scope| {
        let guesses = scope.spawn(|| {
            let address = format!("{}/v1/challenge?[1-12]", station.address);
            Command::new("curl")
                .args([
                    "-sS",
                    "--insecure",
                    "-Z",
                    "-o",
                    "/dev/null",
                    "-w",
                    "%{http_code}\n",
                ])
                .args(["-H", "Authorization: Bearer guess", "-d", "{}", &address])
                .output()
                .unwrap()
        });
        succeeded(&line.prove(&station, &device, &[]));
        let guesses = String::from_utf8(guesses.join().unwrap().stdout).unwrap();
        assert_eq!(guesses.lines().collect::<Vec<_>>(), ["401"; 12]);
    });
    // The station closes them; the test would hang otherwise.
    let mut rest = Vec::new();
    head.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
    head.wait().unwrap();
    for stream in &mut idle {
        let _ = stream.read_to_end(&mut rest);
    }
    drop(stdin);
    // More connections than one address may have are closed at once, and later ones are served again.
    let idle: Vec<_> = (0..100).map(|_| station.connect()).collect();
    let token = line.path("token");
    let refused = line.prove_with(&device, &station.address, &station.pin, &token, &[]);
    crate::failed(&refused, 4, "station-unreachable");
    drop(idle);
    succeeded(&line.prove_with(&device, &station.address, &station.pin, &token, &["--wait"]));
}
