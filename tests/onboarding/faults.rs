//! Faults between a device and the model service, after which the device still gets its serial.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use crate::bench::{Bench, Factory};
use crate::{serial, stderr};

/// The fault of a request for a serial; requests for a nonce have none.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The service does not get it, and this is the answer.
    Answer(&'static str),
    /// The service does not get it, and the connection ends.
    Lost,
    /// Only this many bytes of the answer arrive.
    AnswerCut(usize),
    /// The service gets only this many bytes of it.
    RequestCut(usize),
    /// The service gets it twice; the device gets the second answer.
    Twice,
}

/// A proxy between a device and the service, with a fault at the first request for a serial.
struct FaultyProxy {
    url: String,
}

impl FaultyProxy {
    fn before(service: &str, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/", listener.local_addr().unwrap());
        let service = service
            .strip_prefix("http://")
            .unwrap()
            .split('/')
            .next()
            .unwrap()
            .to_owned();
        let mut fault = Some(fault);
        // It ends with the test process.
        thread::spawn(move || {
            for device in listener.incoming() {
                let mut device = device.unwrap();
                let request = read_message(&device);
                let is_serial = request.starts_with(b"POST /v1/serial");
                let answer = match fault.take_if(|_| is_serial) {
                    Some(fault) => fault.answer(&service, &request),
                    None => ask(&service, &request),
                };
                let _ = device.write_all(&answer);
                let _ = device.shutdown(Shutdown::Both);
            }
        });
        FaultyProxy { url }
    }
}

impl Fault {
    fn answer(self, service: &str, request: &[u8]) -> Vec<u8> {
        match self {
            Fault::Answer(status) => {
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into()
            }
            Fault::Lost => Vec::new(),
            Fault::AnswerCut(length) => ask(service, request)[..length].to_vec(),
            Fault::RequestCut(length) => ask(service, &request[..length]),
            Fault::Twice => {
                ask(service, request);
                ask(service, request)
            }
        }
    }
}

/// Sends a request on a connection of its own, which ends after it, and returns the answer.
fn ask(service: &str, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(service).unwrap();
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    read_message(&stream)
}

/// A request or an answer.
fn read_message(stream: &TcpStream) -> Vec<u8> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    [head.into_bytes(), body].concat()
}

/// What snapd says of the body that the hook has left, in each run of request-serial after the
/// first.
const LEFT: &str = "the hook has left an object in registration.body";

#[test]
fn the_next_change_gets_the_serial() {
    let bench = Bench::start();
    for (fault, says) in [
        (Fault::Answer("503 Service Unavailable"), LEFT),
        (Fault::Answer("202 Accepted"), LEFT),
        (
            Fault::Answer("500 Internal Server Error"),
            "answered 500, without a message",
        ),
        (Fault::Lost, LEFT),
        (Fault::AnswerCut(0), LEFT),
        (Fault::AnswerCut(400), LEFT),
        (Fault::RequestCut(1000), "refused with 400: "),
        (Fault::Twice, "[nonce-used]"),
    ] {
        let factory = Factory::new("[registration]\nproposed-serial = \"key-digest\"\n");
        bench.enroll(&factory);
        let proxy = FaultyProxy::before(&bench.url, fault);
        let output = bench.onboard_by(&proxy.url, factory.directory(), &["--attempts", "2"]);
        serial(&output);
        let log = stderr(&output);
        let failed = log.lines().find(|line| line.starts_with("the change failed: "));
        assert!(failed.is_some_and(|line| line.contains(says)), "{fault:?}: {log}");
    }
}
