//! Three replicas on one PostgreSQL database, behind a balancer: devices register while replicas
//! are killed and the database is restarted.
//!
//! 200 devices by default, 10,000 with `CAMPAIGN=full`.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::campaign::rounds;
use common::device::Device;
use common::http::Request;
use common::parallel::{THREADS, parallel};
use common::postgres::Server;
use common::{ASSERTIONS, Bench, Service, model, sign};

const REPLICAS: usize = 3;
/// Devices at once.
const CLIENTS: usize = 64;
const LIMITS: &str = "requests-per-minute = 0\nlogged-registrations = 1000000\n";
/// A replica is killed after each of so many parts of the registrations.
const KILLS: usize = 10;

/// Forwards each connection to the next replica that accepts it.
struct Balancer {
    address: SocketAddr,
    replicas: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    fn start(replicas: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let balancer = Self {
            address: listener.local_addr().unwrap(),
            replicas: Arc::new(Mutex::new(replicas)),
        };
        let replicas = Arc::clone(&balancer.replicas);
        // It ends with the process.
        thread::spawn(move || {
            for (turn, client) in listener.incoming().enumerate() {
                let replicas = replicas.lock().unwrap().clone();
                thread::spawn(move || forward(client.unwrap(), &replicas, turn));
            }
        });
        balancer
    }
}

fn forward(client: TcpStream, replicas: &[SocketAddr], turn: usize) {
    let mut candidates = (0..replicas.len()).map(|next| replicas[(turn + next) % replicas.len()]);
    let Some(server) = candidates.find_map(|address| TcpStream::connect(address).ok()) else {
        return;
    };
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let (mut from_server, mut to_client) = (server, client);
    let _ = io::copy(&mut from_server, &mut to_client);
    let _ = to_client.shutdown(Shutdown::Both);
}

/// Status and body of a complete answer, if one came.
fn exchange(address: SocketAddr, request: &Request) -> Option<(u16, String)> {
    let mut connection = TcpStream::connect(address).ok()?;
    connection
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    connection.write_all(&request.bytes()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let whole = head.contains(&format!("content-length: {}", body.len()));
    let status = head.split(' ').nth(1)?.parse().ok()?;
    whole.then(|| (status, body.to_owned()))
}

fn nonce(address: SocketAddr) -> Option<String> {
    let (status, body) = exchange(address, &Request::post("/v1/request-id", ""))?;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    (status == 200).then(|| body["request-id"].as_str().unwrap().to_owned())
}

/// What the clients saw.
#[derive(Default)]
struct Seen {
    /// The assertions of successful answers.
    answers: Mutex<HashSet<String>>,
    /// How often each nonce brought success.
    successes: Mutex<HashMap<String, usize>>,
    refusals: Mutex<HashMap<String, usize>>,
    done: AtomicUsize,
}

/// Registers a device, which asks again until it has its serial. Some of the requests are sent
/// twice at once, as a proxy might.
fn register(address: SocketAddr, index: usize, device: &Device, model: &str, seen: &Seen) {
    loop {
        let Some(nonce) = nonce(address) else { continue };
        let statement = device.statement(&nonce, &device.hardware_id);
        let stream = format!("{}\n{model}", sign(statement, device.device_key));
        let request = Request::post("/v1/serial", stream).header("content-type", ASSERTIONS);
        let answers = thread::scope(|scope| {
            let twin = index
                .is_multiple_of(4)
                .then(|| scope.spawn(|| exchange(address, &request)));
            let first = exchange(address, &request);
            [first, twin.and_then(|twin| twin.join().unwrap())]
        });
        let mut registered = false;
        for (status, body) in answers.into_iter().flatten() {
            if status == 200 || status == 201 {
                registered = true;
                seen.answers.lock().unwrap().insert(body);
                *seen.successes.lock().unwrap().entry(nonce.clone()).or_default() += 1;
            } else {
                let code: serde_json::Value = serde_json::from_str(&body).unwrap();
                let code = code["code"].as_str().unwrap().to_owned();
                assert!(status == 503 || code == "nonce-used", "{status} {body}");
                *seen.refusals.lock().unwrap().entry(code).or_default() += 1;
            }
        }
        if registered {
            seen.done.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }
}

/// Registers all devices with three replicas, while `disturb` runs.
fn register_all(
    bench: &Bench,
    count: usize,
    disturb: impl FnOnce(&mut [Service], &Balancer, &Seen, &AtomicBool) + Send,
) -> Seen {
    let devices: Vec<_> = (0..count)
        .map(|index| (index, Device::fresh(&format!("SN-{index}"))))
        .collect();
    let identities = parallel(*THREADS, &devices, |(_, device)| device.identity());
    bench.import_text(&identities.join("\n"));
    let mut services: Vec<_> = (0..REPLICAS).map(|_| bench.serve()).collect();
    let balancer = Balancer::start(services.iter().map(|service| service.address).collect());
    let (seen, model, ended) = (Seen::default(), model("edge-box"), AtomicBool::new(false));
    thread::scope(|scope| {
        let clients = scope.spawn(|| {
            parallel(CLIENTS, &devices, |(index, device)| {
                register(balancer.address, *index, device, &model, &seen);
            });
        });
        scope.spawn(|| disturb(&mut services, &balancer, &seen, &ended));
        let registered = clients.join();
        ended.store(true, Ordering::Relaxed);
        registered.unwrap();
    });
    seen
}

/// Waits until this part of the devices is registered. Returns false if no more will be.
fn reaches(seen: &Seen, wanted: usize, ended: &AtomicBool) -> bool {
    while seen.done.load(Ordering::Relaxed) < wanted {
        if ended.load(Ordering::Relaxed) {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

#[test]
fn replicas_are_killed_and_the_database_is_restarted() {
    let count = rounds(10_000, 200);
    let server: &'static Server = Box::leak(Box::new(Server::start(true)));
    let bench = Bench::on(Some(server.database()), "", LIMITS);
    let seen = register_all(&bench, count, |services, balancer, seen, ended| {
        for part in 1..=KILLS {
            if !reaches(seen, part * count / (KILLS + 1), ended) {
                return;
            }
            let killed = part % REPLICAS;
            services[killed].kill();
            match part {
                3 => {
                    server.control("stop");
                    server.control("start");
                }
                6 => {
                    server.control("fast");
                    server.control("start");
                }
                _ => {}
            }
            services[killed] = bench.serve();
            balancer.replicas.lock().unwrap()[killed] = services[killed].address;
        }
    });
    check(&bench, &seen, count);
}

#[test]
fn a_synchronous_standby_is_promoted() {
    let count = rounds(10_000, 100);
    let server: &'static Server = Box::leak(Box::new(Server::start(true)));
    let database = server.database();
    let (url, both) = (database.url(), database.url_with_standby());
    let mut bench = Bench::on(Some(database), "", LIMITS);
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    bench.write("settings.toml", settings.replace(&url, &both).as_bytes());
    server.control("standby");
    let seen = register_all(&bench, count, |_, _, seen, ended| {
        if reaches(seen, count / 2, ended) {
            server.control("promote");
        }
    });
    bench.look_at(&both);
    check(&bench, &seen, count);
}

fn check(bench: &Bench, seen: &Seen, count: usize) {
    let (answers, successes) = (seen.answers.lock().unwrap(), seen.successes.lock().unwrap());
    println!(
        "{} answers, refusals: {:?}",
        answers.len(),
        seen.refusals.lock().unwrap()
    );
    assert_eq!(
        seen.done.load(Ordering::Relaxed),
        count,
        "devices that have a serial"
    );
    let twice = successes.values().filter(|successes| **successes > 1).count();
    assert_eq!(twice, 0, "nonces that were used twice");
    let known: HashSet<_> = bench
        .rows("SELECT replace(text, '\n', ' ') FROM issued")
        .into_iter()
        .collect();
    let unknown = answers
        .iter()
        .filter(|text| !known.contains(&text.replace('\n', " ")))
        .count();
    assert_eq!(unknown, 0, "answers that the database does not have");
    let several = "(SELECT event ->> 'serial' FROM ledger WHERE event ->> 'kind' = 'serial-issued'
        GROUP BY 1 HAVING count(DISTINCT event ->> 'device') > 1) AS several";
    assert_eq!(bench.count(several), 0, "serials of two identities");
    assert_eq!(bench.count("serials"), count as i64);
    assert_eq!(
        bench.count("(SELECT DISTINCT device FROM serials) AS devices"),
        count as i64
    );
    assert_eq!(
        bench.count("issued"),
        bench.count("ledger WHERE event ->> 'kind' = 'serial-issued'")
    );
}
