//! `testbed onboard` with a gadget author's own hooks, and services that answer in every way.

#![allow(clippy::unwrap_used)] // helpers of tests may, as tests may

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

/// The least that a hook has to do.
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

/// The headers of the serial that a request asks for.
fn serial_for(request: &Assertion) -> Value {
    let request = SerialRequest::try_from(request).unwrap();
    let key = request.device_key();
    json!({
        "type": "serial", "authority-id": "brand-acme", "brand-id": request.brand_id(), "model": request.model(),
        "serial": request.serial().unwrap_or("SN-1"), "device-key": key.encode(), "device-key-sha3-384": key.id(),
        "timestamp": "2026-06-01T00:00:00Z",
    })
}

/// What the service does with a request.
#[derive(Clone)]
enum Reply {
    /// Closes the connection without an answer.
    Drop,
    /// Answers with the nonce `nonce`, or with a serial.
    Good,
    Status(u16),
    Refusal(u16, &'static str, &'static str),
    Text(&'static str),
    /// Answers with serials whose header has another value.
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

/// A service that follows a script, one reply for each request, and does well when it is at its end.
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
        // It ends with the test process.
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

/// A gadget: its hooks, and the device that it is on.
struct Gadget {
    folder: TempDir,
    has_prepare_serial_request: bool,
}

impl Gadget {
    fn new(prepare_device: &str, prepare_serial_request: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gadget = Gadget {
            folder,
            has_prepare_serial_request: prepare_serial_request.is_some(),
        };
        // A name of its author's choice: the testbed is told which hook it is.
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
        self.folder.path().join(name)
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
    // Written by another process: a file that this one has open for writing, or a child of it has inherited, cannot
    // be executed.
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

    /// It failed, left no serial, and its last line has all of `parts`.
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
fn a_gadget_authors_own_hooks() {
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
fn the_command_line_stands_over_the_gadget() {
    let tell = "snapctl set device-service.url=http://127.0.0.1:1/ registration.proposed-serial=own";
    let (service, gadget) = (Service::new(&[]), Gadget::new(tell, Some(SIGN)));
    let onboarding = gadget.onboard(&service, &["--proposed-serial", "given"]);
    assert_eq!(onboarding.serial().header("serial"), Some("given"));
    assert!(
        onboarding
            .log()
            .contains("stands over the gadget's http://127.0.0.1:1/"),
        "{}",
        onboarding.log()
    );
}

#[test]
fn the_gadgets_own_address_and_options_count() {
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
fn a_body_left_by_the_hook_fails_the_next_run() {
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
fn a_hook_that_forgets_to_unset_the_body_fails_for_ever() {
    let (service, gadget) = (
        Service::new(&[Good, Status(202)]),
        Gadget::new(FORGET, Some(SIGN)),
    );
    let onboarding = gadget.onboard(&service, &["--attempts", "4"]);
    onboarding.failed(&[UNMARSHAL, "run 1"]);
    assert_eq!(service.paths(), "request-id serial");
    let log = onboarding.log();
    for wait in ["5 minutes", "10 minutes", "20 minutes"] {
        assert!(log.contains(&format!("snapd would wait {wait}")), "{log}");
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
fn a_body_that_is_a_string_survives_polling() {
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

    // After a failure, unlike after a 202, it begins anew.
    let service = Service::new(&[Good, Status(503)]);
    gadget.onboard(&service, &[]).serial();
    assert_eq!(service.paths(), "request-id serial request-id serial");
    let service = Service::new(&[Good, Status(202), Status(202), Status(202)]);
    gadget
        .onboard(&service, &["--runs", "3"])
        .failed(&["failed 3 times"]);
}

#[test]
fn a_nonce_is_asked_for_again() {
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
    let parts = ["failed 15 times", "/v1/request-id answered 503"];
    gadget.onboard(&service, &[]).failed(&parts);
    assert_eq!(service.requests().len(), 15);
}

#[test]
fn a_refusal_ends_the_change_at_once() {
    let json = "application/json";
    let message = r#"{"message": "not you", "error_list": [{"message": "other"}]}"#;
    let list = r#"{"error_list": [{"code": "c", "message": "not you"}]}"#;
    for (reply, part) in [
        (Status(500), "answered 500, without a message"),
        (Status(404), "answered 404, without a message"),
        (Refusal(403, json, message), "refused with 403: not you"),
        (Refusal(500, json, list), "refused with 500: not you"),
        (
            Refusal(400, "application/json; charset=utf-8", list),
            "answered 400, without a message",
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
fn a_serial_that_is_not_this_devices_is_refused() {
    let cases: [(Reply, &str); 6] = [
        (Text(""), "without a serial"),
        (
            Serials(vec![("serial", "1"), ("serial", "2")]),
            "more than one serial",
        ),
        (
            Serials(vec![("model", "other")]),
            "for the model other, and edge-box",
        ),
        (
            Serials(vec![("brand-id", "other")]),
            "for the brand other, and brand-acme",
        ),
        (Serials(vec![("authority-id", "other")]), "signed by other"),
        (OtherKey, "for the device key"),
    ];
    for (reply, part) in cases {
        let gadget = Gadget::new(UNSET, Some(SIGN));
        gadget.onboard(&Service::new(&[Good, reply]), &[]).failed(&[part]);
    }
}

#[test]
fn what_the_hooks_get_wrong() {
    let set = |json: &str| format!("snapctl set registration.body='{json}'");
    let service = Service::new(&[]);
    let request = |script: &str, parts: &[&str]| {
        Gadget::new(UNSET, Some(script))
            .onboard(&service, &[])
            .failed(parts);
    };
    request("true", &["has not set registration.body"]);
    request(&set("text"), &["to a string, not to an object"]);
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
        "echo first; echo the TPM is gone >&2; exit 3",
        &["prepare-serial-request", "the TPM is gone"],
    );
    request("exit 3", &["exit status 3"]);
    assert!(!service.paths().contains("serial"));

    let device = |script: &str, parts: &[&str]| {
        Gadget::new(script, Some(SIGN))
            .onboard(&service, &[])
            .failed(parts);
    };
    device("echo no TPM >&2; exit 1", &["the hook prepare-device", "no TPM"]);
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
fn a_failed_prepare_device_leaves_nothing() {
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
fn hooks_are_files_of_this_folder() {
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
            .current_dir(gadget.folder.path())
            .env("TCTI", "none")
            .output();
        Onboarding(output.unwrap())
    };
    onboard("device.sh").serial();
    onboard("missing.sh").failed(&["cannot run", "missing.sh"]);
}

#[test]
fn no_service() {
    let gadget = Gadget::new(UNSET, Some(SIGN));
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}/");
    let down = gadget.run(&["--device-service-url", &url, "--runs", "2"]);
    down.failed(&[
        "failed 2 times",
        &format!("{url}request-id got no answer"),
        "refused",
    ]);
    gadget.run(&[]).failed(&["no device-service.url"]);
    gadget
        .run(&["--device-service-url", "localhost:1"])
        .failed(&["localhost:1", "no address"]);
}

#[test]
fn a_new_device_has_a_key_and_a_model_of_its_own() {
    let (service, gadget) = (Service::new(&[]), Gadget::new(UNSET, Some(SIGN)));
    let onboard = || {
        Command::new(env!("CARGO_BIN_EXE_testbed"))
            .args(["onboard", "--device-service-url", &service.url, "--device-folder"])
            .arg(gadget.path("new"))
            .env("TCTI", "none")
            .output()
            .unwrap()
    };
    // The service signs in the name of another brand.
    let first = Onboarding(onboard());
    first.failed(&["signed by brand-acme"]);
    let again = Onboarding(onboard());
    again.failed(&["signed by brand-acme"]);
    assert!(again.log().contains("has its key already"), "{}", again.log());
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
