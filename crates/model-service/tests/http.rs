//! HTTP: addresses and methods, bodies that are refused unread, concurrent imports.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write as _;
use std::net::TcpStream;

use common::device::Device;
use common::http::{Answer, Request};
use common::page::Visitor;
use common::{ASSERTIONS, Bench, Service};

/// More than the buffers of the system hold.
const LARGE: usize = 8 * 1024 * 1024;

#[test]
fn other_addresses() {
    let bench = Bench::new();
    let service = bench.serve();
    for request in [
        Request::get("/none"),
        Request::get("/v1"),
        Request::post("/v1/serial/", ""),
        Request::post("/v2/request-id", ""),
    ] {
        service.send(&request).refused(404, "not-found");
    }
}

#[test]
fn other_methods() {
    let bench = Bench::new();
    let service = bench.serve();
    for (path, allowed) in [
        ("/request-id", "POST"),
        ("/v1/request-id", "POST"),
        ("/serial", "POST"),
        ("/v1/serial", "POST"),
        ("/v1/hardware-identities", "POST"),
        ("/logout", "POST"),
        ("/health", "GET,HEAD"),
        ("/", "GET,HEAD"),
        ("/style.css", "GET,HEAD"),
        ("/login", "GET,HEAD,POST"),
        ("/import", "GET,HEAD,POST"),
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            if allowed.contains(method) {
                continue;
            }
            let answer = service.send(&Request::get(path).method(method));
            answer.refused(405, "method");
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        }
    }
}

/// Sends the whole request before it reads the answer, as many clients do.
#[track_caller]
fn send_all_then_read(service: &Service, request: &Request) -> Answer {
    let mut connection = TcpStream::connect(service.address).unwrap();
    connection.write_all(&request.bytes()).unwrap();
    Answer::read(&mut connection)
}

#[test]
fn a_client_that_is_still_sending_gets_the_refusal() {
    let bench = Bench::with("", "import-body-bytes = 1000");
    let service = bench.serve();
    let post = |path: &str| Request::post(path, vec![b'x'; LARGE]);
    let assertions = |path: &str| post(path).header("content-type", ASSERTIONS);
    let import = |token: &str| {
        assertions("/v1/hardware-identities").header("authorization", &format!("Bearer {token}"))
    };
    for (request, status, code) in [
        (assertions("/v1/serial"), 413, "too-large"),
        (post("/v1/serial"), 415, "content-type"),
        (import("wrong"), 401, "unauthorized"),
        (import(common::TOKEN), 413, "too-large"),
        (post("/none"), 404, "not-found"),
        (post("/health"), 405, "method"),
    ] {
        send_all_then_read(&service, &request).refused(status, code);
    }
    // Without a content-length.
    let mut chunked = b"POST /v1/serial HTTP/1.1\r\nhost: service\r\ntransfer-encoding: chunked\r\n".to_vec();
    chunked.extend_from_slice(format!("content-type: {ASSERTIONS}\r\n\r\n{LARGE:x}\r\n").as_bytes());
    chunked.resize(chunked.len() + LARGE, b'x');
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    let mut connection = TcpStream::connect(service.address).unwrap();
    connection.write_all(&chunked).unwrap();
    Answer::read(&mut connection).refused(413, "too-large");
    // The page too, without a login.
    assert_eq!(send_all_then_read(&service, &post("/import")).status, 303);
    assert_eq!(send_all_then_read(&service, &post("/login")).status, 415);
}

#[test]
fn imports_beyond_the_limit_are_refused_as_busy() {
    let bench = Bench::with("", "imports = 1");
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    let csrf = visitor.csrf();
    let (first, second) = (Device::new("p256").identity(), Device::new("p384").identity());
    let request = Request::post("/v1/hardware-identities", first).header("content-type", ASSERTIONS);
    let request = request.header("authorization", &format!("Bearer {}", common::TOKEN));
    let begun = request.begin(service.address);
    let answer = service.import(&second);
    answer.refused(503, "busy");
    assert_eq!(answer.header("retry-after"), Some("60"));
    let answer = visitor.upload(&csrf, &second);
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("[busy]"), "{}", answer.body);

    assert_eq!(begun.finish().status, 200);
    assert_eq!(service.import(&second).status, 200);
    // A client that disconnects does not count any more.
    drop(request.begin(service.address));
    while service.import(&second).status == 503 {}
    assert_eq!(visitor.upload(&csrf, &second).status, 200);
}
