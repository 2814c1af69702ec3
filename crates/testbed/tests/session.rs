//! `testbed session` with stores that give all kinds of answers.

#![allow(clippy::unwrap_used)] // also in helper functions of tests

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use der::SecretDocument;
use der::pem::LineEnding;
use serde_json::Value;
use snap_assertions::types::{DeviceSessionRequest, Serial};
use snap_assertions::{Assertion, decode};
use tempfile::TempDir;

const NONCE: Reply = Reply(200, "", r#"{"nonce": "NONCE"}"#);
const FIRST: Reply = Reply(200, "", r#"{"macaroon": "FIRST"}"#);
const SECOND: Reply = Reply(202, "", r#"{"macaroon": "SECOND"}"#);
const DEVICE: Reply = Reply(200, "", r#"{"serial": "EB2-0653"}"#);
const ENDED: Reply = Reply(
    401,
    "WWW-Authenticate: Macaroon refresh_device_session=1\r\n",
    r#"{"message": "it has ended"}"#,
);

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../snap-assertions/tests/vectors")
        .join(name)
}

/// Status, more headers and body of an answer.
#[derive(Clone, Copy)]
struct Reply(u16, &'static str, &'static str);

/// The head and the body of a request.
type Request = (String, String);

/// A store that gives each request the next reply.
struct Store {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Store {
    fn new(replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (replies, log) = (replies.to_vec(), Arc::clone(&requests));
        // It ends with the process.
        thread::spawn(move || {
            for Reply(status, headers, body) in replies {
                let (mut stream, _) = listener.accept().unwrap();
                log.lock().unwrap().push(read(&stream));
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\
                     Connection: close\r\n\r\n{body}"
                )
                .unwrap();
            }
        });
        Self { url, requests }
    }

    /// The first lines of the requests.
    fn lines(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let line = |(head, _): &Request| head.lines().next().unwrap().replace(" http/1.1", "");
        requests.iter().map(line).collect()
    }

    fn request(&self, index: usize) -> Request {
        self.requests.lock().unwrap()[index].clone()
    }
}

fn read(stream: &TcpStream) -> Request {
    let mut stream = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        head += &line;
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head.to_lowercase(), String::from_utf8(body).unwrap())
}

/// The directory of the device of the vectors.
fn device() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let key = SecretDocument::try_from(fs::read(vector("device.pk8")).unwrap()).unwrap();
    let pem = key.to_pem("PRIVATE KEY", LineEnding::LF).unwrap();
    fs::write(directory.path().join("device-key.pem"), pem.as_bytes()).unwrap();
    directory
}

fn session(device: &TempDir, store: &Store) -> Output {
    Command::new(env!("CARGO_BIN_EXE_testbed"))
        .args(["session", "--store-url", &store.url, "--device-folder"])
        .arg(device.path())
        .arg("--serial")
        .arg(vector("serial.assert"))
        .arg("--model")
        .arg(vector("model.assert"))
        .output()
        .unwrap()
}

const NEW_SESSION: [&str; 2] = [
    "post /api/v1/snaps/auth/nonces",
    "post /api/v1/snaps/auth/sessions",
];
const RESOURCE: &str = "get /api/v1/device";

#[test]
fn a_device_without_a_session_gets_one_and_keeps_it() {
    let device = device();
    let store = Store::new(&[NONCE, FIRST, DEVICE, DEVICE]);
    for _ in 0..2 {
        let output = session(&device, &store);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\n", DEVICE.2));
    }
    let [nonces, sessions] = NEW_SESSION;
    assert_eq!(store.lines(), [nonces, sessions, RESOURCE, RESOURCE]);
    assert!(store.request(0).1.is_empty());
    let body: Value = serde_json::from_str(&store.request(1).1).unwrap();
    let sent = |name: &str| -> Assertion { decode(body[name].as_str().unwrap().as_bytes()).unwrap() };
    let (request, serial) = (sent("device-session-request"), sent("serial-assertion"));
    assert_eq!(sent("model-assertion").kind().name(), "model");
    let serial = Serial::try_from(&serial).unwrap();
    request.verify(serial.device_key()).unwrap();
    let request = DeviceSessionRequest::try_from(&request).unwrap();
    assert_eq!((request.nonce(), request.serial()), ("NONCE", "EB2-0653"));
    let header = "snap-device-authorization: macaroon root=\"first\"";
    assert!(store.request(3).0.contains(header), "{:?}", store.request(3));
}

#[test]
fn a_session_that_has_ended_is_refreshed() {
    let device = device();
    fs::write(device.path().join("session"), "OLD").unwrap();
    let store = Store::new(&[ENDED, NONCE, SECOND, DEVICE]);
    let output = session(&device, &store);
    assert!(output.status.success(), "{output:?}");
    let [nonces, sessions] = NEW_SESSION;
    assert_eq!(store.lines(), [RESOURCE, nonces, sessions, RESOURCE]);
    let old = "x-device-authorization: macaroon root=\"old\"";
    assert!(store.request(2).0.contains(old), "{:?}", store.request(2));
    assert!(store.request(3).0.contains("root=\"second\""));
}

#[test]
fn a_session_is_refreshed_four_times() {
    let device = device();
    fs::write(device.path().join("session"), "OLD").unwrap();
    let mut replies = vec![ENDED];
    for _ in 0..5 {
        replies.extend([NONCE, FIRST, ENDED]);
    }
    let store = Store::new(&replies);
    let output = session(&device, &store);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(store.lines().len(), 1 + 4 * 3);
}

#[test]
fn refusals_end_the_request() {
    for replies in [
        vec![Reply(503, "", "{}")],
        vec![Reply(200, "", r#"{"nonce": ""}"#)],
        vec![NONCE, Reply(403, "", r#"{"message": "blocked"}"#)],
        // Without the header, 401 is a refusal.
        vec![NONCE, FIRST, Reply(401, "", "{}")],
    ] {
        let store = Store::new(&replies);
        let output = session(&device(), &store);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(store.lines().len(), replies.len());
    }
}
