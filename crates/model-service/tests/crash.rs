//! A crash among many registrations: what devices were given is known, and no nonce is good twice.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::device::Device;
use common::http::Request;
use common::{ASSERTIONS, Bench};
use rusqlite::Connection;

const DEVICES: usize = 60;
const CLIENTS: usize = 8;
/// Answers after which the service is killed.
const ENOUGH: usize = 20;

/// The serial that a stream got, if there was an answer at all.
fn submit(address: SocketAddr, stream: &str) -> Option<String> {
    let request = Request::post("/v1/serial", stream).header("content-type", ASSERTIONS);
    let mut connection = TcpStream::connect(address).ok()?;
    connection.write_all(&request.bytes()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 201"), "{answer}");
    let whole = head.contains(&format!("content-length: {}", body.len()));
    whole.then(|| body.to_owned())
}

#[test]
fn among_many_registrations() {
    let bench = Bench::new();
    let mut service = bench.serve();
    let devices: Vec<_> = (0..DEVICES)
        .map(|index| Device::fresh(&format!("hw-{index}")))
        .collect();
    let identities: Vec<_> = devices.iter().map(Device::identity).collect();
    bench.import_text(&identities.join("\n"));
    let stream = |(index, device): (usize, &Device)| device.stream(&service.nonce(), &format!("SN-{index}"));
    let streams: Vec<_> = devices.iter().enumerate().map(stream).collect();
    let (next, answered, address) = (AtomicUsize::new(0), AtomicUsize::new(0), service.address);
    let client = || {
        let mut received = Vec::new();
        while let Some(stream) = streams.get(next.fetch_add(1, Ordering::Relaxed)) {
            received.extend(submit(address, stream));
            answered.fetch_add(1, Ordering::Relaxed);
        }
        received
    };
    let received: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        while answered.load(Ordering::Relaxed) < ENOUGH {
            thread::yield_now();
        }
        service.kill();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    assert!(
        received.len() >= ENOUGH && received.len() < DEVICES,
        "{}",
        received.len()
    );

    let service = bench.serve();
    let database = Connection::open(bench.path("database.sqlite")).unwrap();
    for text in &received {
        let known = "SELECT count(*) FROM issued JOIN serials USING (brand, model, serial) WHERE text = ?1";
        assert_eq!(
            database
                .query_row(known, [text], |row| row.get::<_, i64>(0))
                .unwrap(),
            1
        );
    }
    let mut good = 0;
    for stream in &streams {
        // A nonce that brought a serial, or was used up by a request without an answer, is good no more.
        let answer = service.serial(stream);
        match answer.status {
            201 => good += 1,
            _ => answer.refused(403, "nonce-used"),
        }
        service.serial(stream).refused(403, "nonce-used");
    }
    assert!(
        good + received.len() <= DEVICES,
        "{good} and {} serials for {DEVICES} nonces",
        received.len()
    );
    for (index, device) in devices.iter().enumerate() {
        assert_eq!(
            device
                .accepts(&device.register(&service, &format!("SN-{index}")))
                .0,
            format!("SN-{index}")
        );
    }
}
