//! `testbed onboard` with a gadget author's own hooks, and with services that give all kinds of
//! answers.

#![allow(clippy::unwrap_used)] // also in helper functions of tests

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use snap_assertions::types::SerialRequest;
use snap_assertions::{Assertion, Decoder, LocalSigner, SignOptions, Signer as _, Statement, decode};
use tempfile::TempDir;

/// The minimum of a hook prepare-device.
const UNSET: &str = "snapctl unset registration.body";
const FORGET: &str = "true";
const SIGN: &str = r#"id=$(snapctl get registration.request-id)
snapctl set -t registration.body='{"request-id-signature":"'$id' & co","hardware-id-key-sha384":"d","hardware-id-key-sha3-384":"d"}'"#;

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../snap-assertions/tests/vectors")
        .join(name)
}

fn brand() -> LocalSigner {
    LocalSigner::from_der(&fs::read(vector("brand.pk8")).unwrap()).unwrap()
}

fn sign(statement: Value) -> Assertion {
    let statement: Statement = serde_json::from_value(statement).unwrap();
    statement.sign(&brand(), &SignOptions::now()).unwrap()
}

/// The headers of the serial for a request.
fn serial_for(request: &Assertion) -> Value {
    let request = SerialRequest::try_from(request).unwrap();
    let key = request.device_key();
    json!({
        "type": "serial", "authority-id": "brand-acme", "brand-id": request.brand_id(), "model": request.model(),
        "serial": request.serial().unwrap_or("SN-1"), "device-key": key.encode(), "device-key-sha3-384": key.id(),
        "timestamp": "2026-06-01T00:00:00Z",
    })
}

/// The answer of the service to a request.
#[derive(Clone)]
enum Reply {
    /// Closes the connection without an answer.
    Drop,
    /// Answers with the nonce `nonce`, or with a serial.
    Good,
    Status(u16),
    Refusal(u16, &'static str, &'static str),
    Text(&'static str),
    /// Answers with one serial for each header and value, with that header changed.
    Serials(Vec<(&'static str, &'static str)>),
    /// Answers with a serial for the brand's key.
    OtherKey,
}

use Reply::{Drop, Good, OtherKey, Refusal, Serials, Status, Text};

#[derive(Clone, Debug)]
struct Request {
    path: String,
    head: String,
    body: String,
}

/// A service with a list of replies, one for each request. After the list, each reply is `Good`.
struct Service {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Service {
    fn new(script: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let mut script = VecDeque::from(script.to_vec());
        // The thread ends with the test process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read_request(&stream);
                seen.lock().unwrap().push(request.clone());
                let answer = answer(&request, script.pop_front().unwrap_or(Good));
                let _ = stream.write_all(answer.as_bytes());
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        Service { url, requests }
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    fn paths(&self) -> String {
        let paths: Vec<_> = self.requests().into_iter().map(|request| request.path).collect();
        paths.join(" ").replace("/v1/", "")
    }
}

fn read_request(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    head.make_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    Request {
        path: head.split(' ').nth(1).unwrap().to_owned(),
        head,
        body: String::from_utf8(body).unwrap(),
    }
}

fn answer(request: &Request, reply: Reply) -> String {
    let is_nonce = request.path.ends_with("request-id");
    let serial = || serial_for(&Decoder::new(request.body.as_bytes()).next().unwrap().unwrap());
    let (status, content_type, body) = match reply {
        Drop => return String::new(),
        Good if is_nonce => (200, "application/json", r#"{"request-id": "nonce"}"#.to_owned()),
        Good => (201, "application/x.ubuntu.assertion", sign(serial()).to_string()),
        Status(status) => (status, "text/plain", "a proxy".to_owned()),
        Refusal(status, content_type, body) => (status, content_type, body.to_owned()),
        Text(text) => (200, "text/plain", text.to_owned()),
        OtherKey => {
            let (mut headers, brand) = (serial(), brand());
            headers["device-key"] = brand.public_key().encode().into();
            headers["device-key-sha3-384"] = brand.public_key().id().into();
            (200, "application/x.ubuntu.assertion", sign(headers).to_string())
        }
        Serials(changes) => {
            let serials = changes.into_iter().map(|(name, value)| {
                let mut headers = serial();
                headers[name] = value.into();
                sign(headers).to_string()
            });
            let serials: Vec<_> = serials.collect();
            (200, "application/x.ubuntu.assertion", serials.join("\n"))
        }
    };
    format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// The hooks of a gadget, and its device.
struct Gadget {
    directory: TempDir,
    has_prepare_serial_request: bool,
}

impl Gadget {
    fn new(prepare_device: &str, prepare_serial_request: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let gadget = Gadget {
            directory,
            has_prepare_serial_request: prepare_serial_request.is_some(),
        };
        // The file name is the author's choice: the command line tells which hook it is.
        executable(&gadget.path("device.sh"), prepare_device);
        if let Some(script) = prepare_serial_request {
            executable(&gadget.path("request.sh"), script);
        }
        fs::create_dir(gadget.path("device")).unwrap();
        let key = vector("device.pk8");
        let mut convert = Command::new("openssl");
        convert
            .args(["pkey", "-inform", "DER", "-in"])
            .arg(key)
            .arg("-out");
        assert!(
            convert
                .arg(gadget.path("device/device-key.pem"))
                .status()
                .unwrap()
                .success()
        );
        gadget
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn onboard(&self, service: &Service, arguments: &[&str]) -> Onboarding {
        self.run(&[&["--device-service-url", &service.url], arguments].concat())
    }

    fn run(&self, arguments: &[&str]) -> Onboarding {
        let mut command = Command::new(env!("CARGO_BIN_EXE_testbed"));
        command
            .args(["onboard", "--poll-seconds", "0", "--model"])
            .arg(vector("model.assert"))
            .arg("--device-folder")
            .arg(self.path("device"))
            .arg("--prepare-device")
            .arg(self.path("device.sh"));
        if self.has_prepare_serial_request {
            command
                .arg("--prepare-serial-request")
                .arg(self.path("request.sh"));
        }
        // These hooks need no TPM.
        Onboarding(command.args(arguments).env("TCTI", "none").output().unwrap())
    }
}

fn executable(path: &Path, script: &str) {
    // Another process writes the file: Linux does not execute a file that is open for writing, also
    // in a child process that inherited it.
    let written = Command::new("sh")
        .args([
            "-c",
            r#"printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod +x "$1""#,
            "sh",
        ])
        .arg(path)
        .arg(script)
        .status();
    assert!(written.unwrap().success());
}

struct Onboarding(Output);

impl Onboarding {
    fn log(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    #[track_caller]
    fn serial(&self) -> Assertion {
        assert!(self.0.status.success(), "{}", self.log());
        decode(&self.0.stdout).unwrap()
    }

    /// Checks that it failed without a serial, and that its last line contains all `parts`.
    #[track_caller]
    fn failed(&self, parts: &[&str]) {
        let log = self.log();
        assert_eq!(self.0.status.code(), Some(1), "{log}");
        assert!(self.0.stdout.is_empty(), "{log}");
        let last = log.lines().last().unwrap();
        assert!(last.starts_with("testbed: "), "{log}");
        for part in parts {
            assert!(last.contains(part), "`{part}` is missing: {log}");
        }
    }
}

const UNMARSHAL: &str = r#"cannot unmarshal snap "gadget" option "registration.body" into *string"#;

#[test]
fn own_hooks_of_a_gadget_author() {
    let tell = format!(
        "{UNSET}\nsnapctl set device-service.headers='{{\"x-brand\": \"acme\"}}' registration.proposed-serial=\\\"17\\\""
    );
    let (service, gadget) = (Service::new(&[]), Gadget::new(&tell, Some(SIGN)));
    let onboarding = gadget.onboard(&service, &[]);
    assert_eq!(onboarding.serial().header("serial"), Some("17"));

    assert_eq!(service.paths(), "request-id serial");
    let [nonce, request] = &service.requests()[..] else {
        unreachable!()
    };
    assert!(
        nonce.body.is_empty() && nonce.head.contains("x-brand: acme\r\n"),
        "{nonce:?}"
    );
    for header in [
        "x-brand: acme",
        "content-type: application/x.ubuntu.assertion",
        "snap-device-capabilities: serial-stream",
    ] {
        assert!(
            request.head.contains(&format!("{header}\r\n")),
            "{}",
            request.head
        );
    }
    let stream: Vec<Assertion> = Decoder::new(request.body.as_bytes())
        .map(Result::unwrap)
        .collect();
    let [request, model] = &stream[..] else {
        unreachable!()
    };
    assert_eq!(
        model.to_string(),
        fs::read_to_string(vector("model.assert")).unwrap()
    );
    assert_eq!(
        request.body(),
        r#"{"hardware-id-key-sha3-384":"d","hardware-id-key-sha384":"d","request-id-signature":"nonce \u0026 co"}"#
    );
    let view = SerialRequest::try_from(request).unwrap();
    assert_eq!(
        (view.brand_id(), view.model(), view.request_id()),
        ("brand-acme", "edge-box", "nonce")
    );
    request.verify(view.device_key()).unwrap();
}

#[test]
fn the_command_line_overrides_the_gadget() {
    let tell = "snapctl set device-service.url=http://127.0.0.1:1/ registration.proposed-serial=own";
    let (service, gadget) = (Service::new(&[]), Gadget::new(tell, Some(SIGN)));
    let onboarding = gadget.onboard(&service, &["--proposed-serial", "given"]);
    assert_eq!(onboarding.serial().header("serial"), Some("given"));
    let log = onboarding.log();
    assert!(log.contains("http://127.0.0.1:1/"), "{log}");
}

#[test]
fn the_gadgets_address_and_options_are_used() {
    let service = Service::new(&[]);
    let gadget = Gadget::new(
        r#"snapctl set device-service.url="$(snapctl get where)""#,
        Some(SIGN),
    );
    gadget
        .run(&["--set", &format!("where={}/", service.url)])
        .serial();
    assert_eq!(service.paths(), "request-id serial");
}

#[test]
fn a_body_from_the_hook_fails_the_next_run() {
    for reply in [Status(202), Status(503), Drop, Text("no assertions")] {
        let (service, gadget) = (Service::new(&[Good, reply]), Gadget::new(UNSET, Some(SIGN)));
        gadget
            .onboard(&service, &[])
            .failed(&[UNMARSHAL, "run 2", "snapctl unset registration.body"]);
        assert_eq!(service.paths(), "request-id serial");
        // The next change begins with prepare-device.
        gadget.onboard(&service, &[]).serial();
    }
}

#[test]
fn a_hook_that_does_not_unset_the_body_fails_each_time() {
    let (service, gadget) = (
        Service::new(&[Good, Status(202)]),
        Gadget::new(FORGET, Some(SIGN)),
    );
    let onboarding = gadget.onboard(&service, &["--attempts", "4"]);
    onboarding.failed(&[UNMARSHAL, "run 1"]);
    assert_eq!(service.paths(), "request-id serial");
    let log = onboarding.log();
    for wait in ["5 minutes", "10 minutes", "20 minutes"] {
        assert!(log.contains(wait), "{log}");
    }

    executable(&gadget.path("device.sh"), UNSET);
    gadget.onboard(&service, &[]).serial();
}

#[test]
fn attempts_are_whole_changes() {
    let (service, gadget) = (Service::new(&[Good, Status(503)]), Gadget::new(UNSET, Some(SIGN)));
    gadget.onboard(&service, &["--attempts", "2"]).serial();
    assert_eq!(service.paths(), "request-id serial request-id serial");
}

#[test]
fn a_body_that_is_a_string_can_be_sent_again() {
    let set = "snapctl set -s registration.body='a text'";
    let (service, gadget) = (
        Service::new(&[Good, Status(202), Status(202), Good]),
        Gadget::new(set, None),
    );
    gadget.onboard(&service, &[]).serial();
    assert_eq!(service.paths(), "request-id serial serial serial");
    let requests = service.requests();
    assert!(
        requests[1..]
            .iter()
            .all(|request| request.body == requests[1].body)
    );
    assert_eq!(
        Decoder::new(requests[1].body.as_bytes())
            .next()
            .unwrap()
            .unwrap()
            .body(),
        "a text"
    );

    // After a failure, unlike after 202, the run starts with a new nonce.
    let service = Service::new(&[Good, Status(503)]);
    gadget.onboard(&service, &[]).serial();
    assert_eq!(service.paths(), "request-id serial request-id serial");
    let service = Service::new(&[Good, Status(202), Status(202), Status(202)]);
    gadget.onboard(&service, &["--runs", "3"]).failed(&["202"]);
    assert_eq!(service.paths(), "request-id serial serial serial");
}

#[test]
fn the_request_for_a_nonce_is_retried() {
    for reply in [
        Status(503),
        Drop,
        Text("<html>"),
        Text("[]"),
        Text(r#"{"request-id": 1}"#),
    ] {
        let (service, gadget) = (
            Service::new(&[reply.clone(), reply]),
            Gadget::new(UNSET, Some(SIGN)),
        );
        gadget.onboard(&service, &[]).serial();
        assert_eq!(service.paths(), "request-id request-id request-id serial");
    }
    let (service, gadget) = (
        Service::new(&vec![Status(503); 20]),
        Gadget::new(UNSET, Some(SIGN)),
    );
    let parts = ["15", "/v1/request-id", "503"];
    gadget.onboard(&service, &[]).failed(&parts);
    assert_eq!(service.requests().len(), 15);
}

#[test]
fn a_refusal_ends_the_change_at_once() {
    let json = "application/json";
    let message = r#"{"message": "not you", "error_list": [{"message": "other"}]}"#;
    let list = r#"{"error_list": [{"code": "c", "message": "not you"}]}"#;
    for (reply, part) in [
        (Status(500), "500, without a message"),
        (Status(404), "404, without a message"),
        (Refusal(403, json, message), "403: not you"),
        (Refusal(500, json, list), "500: not you"),
        (
            Refusal(400, "application/json; charset=utf-8", list),
            "400, without a message",
        ),
    ] {
        let gadget = Gadget::new(UNSET, Some(SIGN));
        let service = Service::new(std::slice::from_ref(&reply));
        gadget
            .onboard(&service, &[])
            .failed(&[part, "/v1/request-id", "run 1"]);
        assert_eq!(service.paths(), "request-id");
        let service = Service::new(&[Good, reply]);
        gadget
            .onboard(&service, &[])
            .failed(&[part, "/v1/serial", "run 1"]);
        assert_eq!(service.paths(), "request-id serial");
    }
}

#[test]
fn a_serial_for_another_device_is_refused() {
    let cases: [(Reply, &str); 6] = [
        (Text(""), "serial"),
        (Serials(vec![("serial", "1"), ("serial", "2")]), "serial"),
        (Serials(vec![("model", "other")]), "model other"),
        (Serials(vec![("brand-id", "other")]), "brand other"),
        (Serials(vec![("authority-id", "other")]), "serial-authority"),
        (OtherKey, "device key"),
    ];
    for (reply, part) in cases {
        let gadget = Gadget::new(UNSET, Some(SIGN));
        gadget.onboard(&Service::new(&[Good, reply]), &[]).failed(&[part]);
    }
}

#[test]
fn wrong_hooks_are_errors() {
    let set = |json: &str| format!("snapctl set registration.body='{json}'");
    let service = Service::new(&[]);
    let request = |script: &str, parts: &[&str]| {
        Gadget::new(UNSET, Some(script))
            .onboard(&service, &[])
            .failed(parts);
    };
    request("true", &["registration.body"]);
    request(&set("text"), &["registration.body", "object"]);
    request(
        &set(r#"{"request-id-signature":"s","hardware-id-key-sha3-384":"d"}"#),
        &["hardware-id-key-sha384", "2.74 to 2.77"],
    );
    request(
        &set(r#"{"request-id-signature":"s","hardware-id-key-sha384":"d"}"#),
        &["hardware-id-key-sha3-384"],
    );
    request(
        &set(r#"{"hardware-id-key-sha384":"d","hardware-id-key-sha3-384":"d"}"#),
        &["request-id-signature"],
    );
    request(
        "echo first; echo why >&2; exit 3",
        &["prepare-serial-request", "why"],
    );
    request("exit 3", &["exit status 3"]);
    assert!(!service.paths().contains("serial"));

    let device = |script: &str, parts: &[&str]| {
        Gadget::new(script, Some(SIGN))
            .onboard(&service, &[])
            .failed(parts);
    };
    device("echo why >&2; exit 1", &["prepare-device", "why"]);
    device(
        "snapctl set registration.proposed-serial=17",
        &["registration.proposed-serial", "*string", "17"],
    );
    device(
        "snapctl set device-service.headers.a=1",
        &["device-service.headers", "map[string]string"],
    );
    device("snapctl set device-service.access=offline", &["offline"]);
}

#[test]
fn a_failed_prepare_device_sets_nothing() {
    let (service, gadget) = (
        Service::new(&[]),
        Gadget::new("snapctl set a=1; exit 1", Some(SIGN)),
    );
    gadget.onboard(&service, &[]).failed(&["prepare-device"]);
    let device = testbed::Device::kept_in(&gadget.path("device")).unwrap();
    assert_eq!(device.config("a").unwrap(), None);
    assert_eq!(service.paths(), "");
}

#[test]
fn hooks_are_files_in_the_working_directory() {
    let (service, gadget) = (Service::new(&[]), Gadget::new(UNSET, Some(SIGN)));
    let onboard = |hook: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_testbed"))
            .args([
                "onboard",
                "--device-service-url",
                &service.url,
                "--prepare-device",
                hook,
            ])
            .args([
                "--prepare-serial-request",
                "request.sh",
                "--device-folder",
                "device",
                "--model",
            ])
            .arg(fs::canonicalize(vector("model.assert")).unwrap())
            .current_dir(gadget.directory.path())
            .env("TCTI", "none")
            .output();
        Onboarding(output.unwrap())
    };
    onboard("device.sh").serial();
    onboard("missing.sh").failed(&["missing.sh"]);
}

#[test]
fn a_missing_or_wrong_service_is_an_error() {
    let gadget = Gadget::new(UNSET, Some(SIGN));
    // A port where nothing listens any more.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}/");
    let down = gadget.run(&["--device-service-url", &url, "--runs", "2"]);
    down.failed(&["2", &format!("{url}request-id"), "refused"]);
    gadget.run(&[]).failed(&["device-service.url"]);
    gadget
        .run(&["--device-service-url", "localhost:1"])
        .failed(&["localhost:1"]);
}

#[test]
fn a_new_device_gets_its_own_key_and_model() {
    let (service, gadget) = (Service::new(&[]), Gadget::new(UNSET, Some(SIGN)));
    let onboard = || {
        Command::new(env!("CARGO_BIN_EXE_testbed"))
            .args(["onboard", "--device-service-url", &service.url, "--device-folder"])
            .arg(gadget.path("new"))
            .env("TCTI", "none")
            .output()
            .unwrap()
    };
    // The service signs for another brand.
    let first = Onboarding(onboard());
    first.failed(&["brand-acme"]);
    let again = Onboarding(onboard());
    again.failed(&["brand-acme"]);
    let requests = service.requests();
    let key = |at: usize| {
        let request = Decoder::new(requests[at].body.as_bytes())
            .next()
            .unwrap()
            .unwrap();
        request.header("device-key").map(str::to_owned)
    };
    assert_eq!(key(1), key(3));
}
