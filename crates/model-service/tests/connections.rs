//! Connections: deadlines for every phase, and a share of them for each address.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::Bench;
use common::device::Device;
use common::http::{Answer, Request};
use tokio::net::TcpSocket;

/// Longer than everything here takes, also on a machine with other work.
const BOUND: Duration = Duration::from_secs(100);
const ATTACKERS: usize = 600;
/// The address of the attackers. Tests connect from 127.0.0.1 otherwise.
const ATTACKER: &str = "127.0.0.2:0";

/// A connection from the attackers' address, with small buffers.
fn attack(address: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.bind(ATTACKER.parse().unwrap()).unwrap();
    let connected = runtime.unwrap().block_on(async {
        let stream = socket.connect(address).await.unwrap();
        stream.into_std().unwrap()
    });
    connected.set_nonblocking(false).unwrap();
    connected.set_read_timeout(Some(BOUND)).unwrap();
    connected.set_write_timeout(Some(BOUND)).unwrap();
    connected
}

/// Requests of which each has a response of several KiB.
fn pipelined() -> Vec<u8> {
    b"GET /style.css HTTP/1.1\r\nhost: service\r\n\r\n".repeat(200)
}

/// Tells the attackers to stop, also if the test fails.
struct Attack<'a>(&'a AtomicBool);

impl Drop for Attack<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A request that must be answered, with a time limit.
fn ask(address: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    Request::get(path).send_over(stream, |_| {})
}

#[test]
fn clients_that_never_read_do_not_keep_others_out() {
    let limits = "limit-loopback = true\nrequests-per-minute = 0\nwrite-seconds = 1";
    let bench = Bench::with("", limits);
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    let (done, closed) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let requests = pipelined();
            let mut connections: Vec<Option<TcpStream>> = (0..ATTACKERS).map(|_| None).collect();
            while !done.load(Ordering::Relaxed) {
                for connection in &mut connections {
                    let stream = connection.get_or_insert_with(|| {
                        let stream = attack(service.address);
                        stream.set_nonblocking(true).unwrap();
                        stream
                    });
                    match stream.write(&requests) {
                        Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {
                            *connection = None;
                            closed.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => (),
                    }
                }
            }
        });
        let attack = Attack(&done);
        let start = Instant::now();
        let mut health = 0;
        // All attackers have been there, and were thrown out again.
        while closed.load(Ordering::Relaxed) < 2 * ATTACKERS && start.elapsed() < BOUND {
            assert_eq!(ask(service.address, "/health").status, 200);
            health += 1;
        }
        let registered = device.register(&service, "SN-1");
        drop(attack);
        device.accepts(&registered);
        assert!(health > 0 && start.elapsed() < BOUND);
    });
}

/// Returns true if the service ends the connection while `send` sends.
fn ends(mut send: impl FnMut() -> std::io::Result<()>) -> bool {
    let start = Instant::now();
    while start.elapsed() < BOUND {
        if send().is_err() {
            return start.elapsed() < BOUND;
        }
    }
    false
}

#[test]
fn a_client_that_never_reads_is_disconnected() {
    let bench = Bench::with("", "write-seconds = 1\nrequests-per-minute = 0");
    let service = bench.serve();
    let mut stream = attack(service.address);
    let requests = pipelined();
    assert!(ends(|| stream.write_all(&requests)));
}

#[test]
fn an_idle_connection_ends() {
    let bench = Bench::with("", "request-seconds = 1");
    let service = bench.serve();
    let mut stream = attack(service.address);
    stream
        .write_all(b"GET /health HTTP/1.1\r\nhost: service\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_connection_has_a_longest_age() {
    let bench = Bench::with("", "connection-seconds = 2\nrequest-seconds = 1");
    let service = bench.serve();
    let mut stream = attack(service.address);
    let mut answers = String::new();
    // Never idle.
    let ended = ends(|| {
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: service\r\n\r\n")?;
        let mut answer = [0; 1024];
        match stream.read(&mut answer)? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            length => {
                answers.push_str(&String::from_utf8_lossy(&answer[..length]));
                thread::sleep(Duration::from_millis(100));
                Ok(())
            }
        }
    });
    assert!(ended);
    // The client was told.
    assert!(answers.contains("\r\nconnection: close\r\n"), "{answers}");
}

#[test]
fn connections_beyond_the_limit_are_refused() {
    let bench = Bench::with("", "connections = 1\nrequest-seconds = 1");
    let service = bench.serve();
    // Sends nothing, and holds the only permit until it times out.
    let idle = TcpStream::connect(service.address).unwrap();
    let answer = ask(service.address, "/health");
    answer.refused(503, "overloaded");
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert_eq!(answer.header("connection"), Some("close"));
    let start = Instant::now();
    while ask(service.address, "/health").status != 200 {
        assert!(start.elapsed() < BOUND);
    }
    drop(idle);
}

#[test]
fn an_address_cannot_take_all_connections() {
    let limits = "connections = 4\nconnections-per-address = 2\nlimit-loopback = true";
    let bench = Bench::with("", limits);
    let service = bench.serve();
    let held: Vec<_> = (0..2).map(|_| attack(service.address)).collect();
    let mut third = attack(service.address);
    third.write_all(&Request::get("/health").bytes()).unwrap();
    Answer::read(&mut third).refused(503, "overloaded");
    assert_eq!(ask(service.address, "/health").status, 200);
    drop(held);
}

#[test]
fn an_answer_that_takes_too_long() {
    let bench = Bench::with("", "answer-seconds = 1");
    let service = bench.serve();
    let lock = bench.lock_nonces();
    let answer = service.send(&Request::post("/v1/request-id", ""));
    answer.refused(503, "answer-timeout");
    drop(lock);
    service.nonce();
}
