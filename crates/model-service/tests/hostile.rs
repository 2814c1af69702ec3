//! Generated requests: each is refused as a mistake of the client, and the service goes on, with
//! an intact database and no more memory than before.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use common::device::Device;
use common::hostility::{Numbers, bloat, broken_request, content_type, garble, rebuild, registration_body};
use common::http::{Answer, Kept, Request};
use common::page::Visitor;
use common::{ASSERTIONS, Bench, PASSWORD, PROGRAM, Service, TOKEN, text_vector};

/// For each of the two addresses.
const BODIES: usize = 10_000;
const MULTIPART: &str = "multipart/form-data; boundary=limit";
/// Clients at a time.
const CLIENTS: usize = 2;
/// The most that the memory of the service may grow after the first tenth, in KiB.
const GROWTH: usize = 16 * 1024;

/// An attack of a client.
enum Attack {
    /// A request that is valid HTTP.
    Request(Request),
    /// Bytes over a new connection.
    Bytes(Vec<u8>),
}

struct World {
    bench: Bench,
    service: Service,
    device: Device,
}

impl World {
    fn new() -> Self {
        // The pages of a growing log would stay in the cache of the database.
        let bench = Bench::with("", "imports = 100\nlogged-registrations = 1000");
        let mut command = Command::new(PROGRAM);
        command
            .args(["serve", "--config"])
            .arg(bench.path("settings.toml"));
        // glibc has up to eight arenas for each core, and each grows to the size that its largest
        // requests needed.
        command.env("MALLOC_ARENA_MAX", "1");
        command.stderr(File::create(bench.path("log")).unwrap());
        let service = common::serve_by(&mut command);
        let device = Device::new("p256");
        bench.import_text(&device.identity());
        Self {
            bench,
            service,
            device,
        }
    }

    /// Resident memory of the service, in KiB.
    fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.service.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends `count` attacks, and before them the one that needs the most memory: the allocator keeps
    /// that size. `check` sees the answers to requests.
    fn withstands(
        &self,
        count: usize,
        largest: &Request,
        attack: impl Fn(&mut Numbers) -> Attack + Sync,
        check: impl Fn(&Answer) + Sync,
    ) {
        let (next, early, start) = (AtomicUsize::new(0), OnceLock::new(), Instant::now());
        let client = |seed| {
            let mut numbers = Numbers::new(seed);
            let mut connection = Kept::new(self.service.address);
            check(&connection.send(largest));
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index == count / 10 {
                    early.set(self.memory()).unwrap();
                }
                if index >= count {
                    return;
                }
                match attack(&mut numbers) {
                    Attack::Request(request) => check(&connection.send(&request)),
                    Attack::Bytes(bytes) => self.send_bytes(&bytes),
                }
            }
        };
        thread::scope(|scope| {
            for seed in 0..CLIENTS as u64 {
                scope.spawn(move || client(seed));
            }
        });
        let (early, late) = (early.get().unwrap(), self.memory());
        println!(
            "{count} attacks in {:.1?}: {early} KiB after the first tenth, {late} KiB at the end",
            start.elapsed()
        );
        self.is_unharmed();
        assert!(late <= early + GROWTH, "{early} KiB have grown to {late} KiB");
    }

    /// An answer, if any, may be anything but an error of the service.
    fn send_bytes(&self, bytes: &[u8]) {
        let mut connection = TcpStream::connect(self.service.address).unwrap();
        let _ = connection.write_all(bytes);
        let _ = connection.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.starts_with("HTTP/1.1 5"), "{answer}");
    }

    fn is_unharmed(&self) {
        let log = fs::read_to_string(self.bench.path("log")).unwrap();
        assert_eq!(log, "", "the log of errors and panics");
        self.bench.is_sound();
        assert!(self.bench.count("identities") <= 2);
        self.device.accepts(&self.device.register(&self.service, "SN-1"));
    }
}

#[test]
fn requests_for_a_serial() {
    let world = World::new();
    let nonce = || world.service.nonce();
    let good = world.device.stream(&nonce(), "SN-1");
    // Only the body of a request with a valid signature of the device key is read.
    let signed = |numbers: &mut Numbers| {
        let nonce = nonce();
        let right = world.device.body(&nonce);
        let right: Vec<_> = right
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let body = registration_body(numbers, &right);
        world
            .device
            .stream_with(&nonce, "SN-1", serde_json::json!({ "body": body }))
            .into_bytes()
    };
    let request = |body: Vec<u8>, kind: &str| Request::post("/v1/serial", body).header("content-type", kind);
    let attack = |numbers: &mut Numbers| {
        let body = match numbers.below(40) {
            0 => signed(numbers),
            1..20 => rebuild(numbers, &good),
            _ => garble(numbers, good.as_bytes()),
        };
        if numbers.below(25) == 0 {
            let head = format!("content-type: {ASSERTIONS}\r\n");
            return Attack::Bytes(broken_request(numbers, "/v1/serial", &head, &body));
        }
        let kind = content_type(numbers, ASSERTIONS);
        Attack::Request(request(body, &kind))
    };
    let largest = request(bloat(&good).into(), ASSERTIONS);
    world.withstands(BODIES, &largest, attack, |answer| {
        // A change may hit bytes without effect, such as one of two names of the digest.
        if answer.status >= 300 {
            assert!((400..500).contains(&answer.status), "{answer:?}");
            answer.code();
        }
    });
}

#[test]
fn imports() {
    let world = World::new();
    let identities = format!(
        "{}\n{}",
        world.device.identity(),
        text_vector("hardware-identity-wrapped-key.assert")
    );
    let path = "/v1/hardware-identities";
    let request = |body: Vec<u8>, kind: &str, token: &str| {
        let request = Request::post(path, body).header("content-type", kind);
        request.header("authorization", token)
    };
    let right = format!("Bearer {TOKEN}");
    let attack = |numbers: &mut Numbers| {
        let body = match numbers.below(2) {
            0 => rebuild(numbers, &identities),
            _ => garble(numbers, identities.as_bytes()),
        };
        // After some wrong tokens none would be checked.
        let token = numbers.pick(&[&[right.as_str(); 28][..], &["Bearer", "Basic Og=="]].concat());
        if numbers.below(25) == 0 {
            let head = format!("content-type: {ASSERTIONS}\r\nauthorization: {token}\r\n");
            return Attack::Bytes(broken_request(numbers, path, &head, &body));
        }
        let kind = content_type(numbers, ASSERTIONS);
        Attack::Request(request(body, &kind, token))
    };
    let largest = request(bloat(&identities).into(), ASSERTIONS, &right);
    world.withstands(BODIES, &largest, attack, |answer| {
        assert!([200, 401, 415, 422].contains(&answer.status), "{answer:?}");
    });
}

#[test]
fn forms_of_the_page() {
    let world = World::new();
    let visitor = Visitor::log_in(&world.service);
    let upload = Visitor::upload_body(&visitor.csrf(), &world.device.identity());
    let request = |path: &str, body: Vec<u8>, kind: &str, cookie: &str| {
        let request = Request::post(path, body).header("content-type", kind);
        request.header("cookie", cookie)
    };
    let attack = |numbers: &mut Numbers| {
        let login = format!("password={PASSWORD}&more=%41%zz%e2%28");
        let (path, kind, body) = match numbers.below(4) {
            0 => ("/login", "application/x-www-form-urlencoded", login.into_bytes()),
            1 => ("/logout", "application/x-www-form-urlencoded", b"csrf=x".to_vec()),
            _ => ("/import", MULTIPART, upload.clone()),
        };
        let body = garble(numbers, &body);
        let cookie = match numbers.below(20) {
            0 => "session=\"; known=.;;=,session",
            _ => &visitor.cookie,
        };
        if numbers.below(25) == 0 {
            let head = format!("content-type: {kind}\r\ncookie: {cookie}\r\n");
            return Attack::Bytes(broken_request(numbers, path, &head, &body));
        }
        let kind = content_type(numbers, kind);
        Attack::Request(request(path, body, &kind, cookie))
    };
    let body = Visitor::upload_body(&visitor.csrf(), &bloat(&world.device.identity()));
    let largest = request("/import", body, MULTIPART, &visitor.cookie);
    world.withstands(BODIES / 5, &largest, attack, |answer| {
        assert!(answer.status < 500, "{answer:?}")
    });
}
