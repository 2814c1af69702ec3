//! Three replicas on one PostgreSQL database, behind HAProxy with the packaged configuration:
//! devices register while replicas are killed, the database is restarted, and a standby is promoted.
//!
//! 200 and 100 devices by default. With `CAMPAIGN=full` 10,000 each, a replica is killed every five
//! seconds, and HAProxy checks the replicas as often as packaged.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::campaign::{is_full, rounds};
use common::device::Device;
use common::haproxy::{Haproxy, free_address};
use common::http::Request;
use common::parallel::{THREADS, parallel};
use common::postgres::Server;
use common::{ASSERTIONS, Bench, Service, model, serve, sign};

const REPLICAS: usize = 3;
/// Devices at once.
const CLIENTS: usize = 64;
const PROXIES: &str = "trusted-proxies = [\"127.0.0.1/32\"]";
const LIMITS: &str = "requests-per-minute = 0\nconnections = 1024\nlogged-registrations = 1000000\n";
/// Without the full campaign, a replica is killed after each of so many parts of the registrations.
const KILLS: usize = 10;
/// In the full campaign, a replica is killed this often.
const KILL_INTERVAL: Duration = Duration::from_secs(5);
/// The pause of a device before it asks again.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest time without any registration.
const STANDSTILL: Duration = Duration::from_secs(180);

/// The replicas, each with its address.
struct Replicas {
    settings: Vec<PathBuf>,
    services: Vec<Service>,
    kills: usize,
}

impl Replicas {
    fn start(bench: &Bench) -> Self {
        let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
        let settings: Vec<_> = (0..REPLICAS)
            .map(|replica| {
                let listen = settings.replace("127.0.0.1:0", &free_address("127.0.0.2").to_string());
                bench.write(&format!("replica-{replica}.toml"), listen.as_bytes())
            })
            .collect();
        Self {
            services: settings.iter().map(|settings| serve(settings)).collect(),
            settings,
            kills: 0,
        }
    }

    /// Kills the next one and starts it again, after `meanwhile`.
    fn kill_next(&mut self, meanwhile: impl FnOnce()) {
        let killed = self.kills % REPLICAS;
        self.services[killed].kill();
        meanwhile();
        self.services[killed] = serve(&self.settings[killed]);
        self.kills += 1;
    }
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

/// What the clients saw.
#[derive(Default)]
struct Seen {
    /// The assertions of successful answers.
    answers: Mutex<HashSet<String>>,
    /// How often each nonce brought success.
    successes: Mutex<HashMap<String, usize>>,
    /// How often each status and code came; `no answer` too.
    others: Mutex<BTreeMap<String, usize>>,
    done: AtomicUsize,
}

impl Seen {
    fn note(&self, other: &str) {
        *self.others.lock().unwrap().entry(other.to_owned()).or_default() += 1;
    }

    fn nonce(&self, address: SocketAddr) -> Option<String> {
        match exchange(address, &Request::post("/v1/request-id", "")) {
            Some((200, body)) => {
                let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                Some(body["request-id"].as_str().unwrap().to_owned())
            }
            Some((status, body)) => {
                self.note(&refusal(status, &body));
                None
            }
            None => {
                self.note("no answer");
                None
            }
        }
    }

    /// Sends a request for a serial, some of them twice at once, as a proxy might. Returns true if
    /// the device has its serial.
    fn serial(&self, address: SocketAddr, nonce: &str, request: &Request, twice: bool) -> bool {
        let answers = thread::scope(|scope| {
            let twin = twice.then(|| scope.spawn(|| exchange(address, request)));
            let first = exchange(address, request);
            [Some(first), twin.map(|twin| twin.join().unwrap())]
        });
        let mut registered = false;
        for answer in answers.into_iter().flatten() {
            match answer {
                Some((200 | 201, body)) => {
                    registered = true;
                    self.answers.lock().unwrap().insert(body);
                    let mut successes = self.successes.lock().unwrap();
                    *successes.entry(nonce.to_owned()).or_default() += 1;
                }
                Some((status, body)) => self.note(&refusal(status, &body)),
                None => self.note("no answer"),
            }
        }
        registered
    }
}

/// What a device may get that is no success. HAProxy's own answers have no code.
fn refusal(status: u16, body: &str) -> String {
    let code = serde_json::from_str::<serde_json::Value>(body).ok();
    let code = code.map_or("of HAProxy".to_owned(), |body| {
        body["code"].as_str().unwrap().to_owned()
    });
    assert!(
        [502, 503, 504].contains(&status) || code == "nonce-used",
        "{status} {body}"
    );
    format!("{status} {code}")
}

/// Registers a device, which asks again until it has its serial.
fn register(address: SocketAddr, index: usize, device: &Device, model: &str, seen: &Seen) {
    let (mut done, mut since) = (0, Instant::now());
    loop {
        if let Some(nonce) = seen.nonce(address) {
            let statement = device.statement(&nonce, &device.hardware_id);
            let stream = format!("{}\n{model}", sign(statement, device.device_key));
            let request = Request::post("/v1/serial", stream).header("content-type", ASSERTIONS);
            if seen.serial(address, &nonce, &request, index.is_multiple_of(4)) {
                seen.done.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        let now = seen.done.load(Ordering::Relaxed);
        if now > done {
            (done, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < STANDSTILL, "no device registers any more");
        thread::sleep(PAUSE);
    }
}

/// Registers all devices with three replicas, while `disturb` runs. Prints figures.
fn register_all(
    bench: &Bench,
    count: usize,
    disturb: impl FnOnce(&mut Replicas, &Seen, &AtomicBool) + Send,
) -> Seen {
    let devices: Vec<_> = (0..count)
        .map(|index| (index, Device::fresh(&format!("SN-{index}"))))
        .collect();
    let identities = parallel(*THREADS, &devices, |(_, device)| device.identity());
    bench.import_text(&identities.join("\n"));
    let mut replicas = Replicas::start(bench);
    let addresses: Vec<_> = replicas.services.iter().map(|service| service.address).collect();
    // All devices have one address here.
    let quick = ("inter 2s", if is_full() { "inter 2s" } else { "inter 200ms" });
    let haproxy = Haproxy::start(bench, &addresses, &[("gt 600", "gt 100000000"), quick]);
    let (seen, model, ended) = (Seen::default(), model("edge-box"), AtomicBool::new(false));
    let start = Instant::now();
    thread::scope(|scope| {
        let clients = scope.spawn(|| {
            parallel(CLIENTS, &devices, |(index, device)| {
                register(haproxy.devices, *index, device, &model, &seen);
            });
        });
        scope.spawn(|| disturb(&mut replicas, &seen, &ended));
        let registered = clients.join();
        ended.store(true, Ordering::Relaxed);
        registered.unwrap();
    });
    let (seconds, kills) = (start.elapsed().as_secs_f64(), replicas.kills);
    println!("{count} devices in {seconds:.0} s, {kills} kills of replicas");
    seen
}

/// Waits until `reached` returns true. Returns false if no more devices register.
fn wait(ended: &AtomicBool, reached: impl Fn() -> bool) -> bool {
    while !reached() {
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
    let bench = Bench::on(Some(server.database()), PROXIES, LIMITS);
    let seen = register_all(&bench, count, |replicas, seen, ended| {
        let mut stops = ["stop", "fast"].into_iter().zip(1..).peekable();
        let (mut part, mut last_kill) = (1, Instant::now());
        loop {
            let wanted = part * count / (KILLS + 1);
            let reached = || match is_full() {
                true => last_kill.elapsed() >= KILL_INTERVAL,
                false => seen.done.load(Ordering::Relaxed) >= wanted,
            };
            if !wait(ended, reached) {
                break;
            }
            // After a third and after two thirds of the devices.
            let third = 3 * seen.done.load(Ordering::Relaxed) / count;
            let stop = stops.next_if(|(_, earliest)| third >= *earliest);
            last_kill = Instant::now();
            replicas.kill_next(|| {
                if let Some((stop, _)) = stop {
                    server.control(stop);
                    server.control("start");
                }
            });
            part += 1;
        }
        assert_eq!(stops.next(), None, "restarts of the database");
    });
    check(&bench, &seen, count);
}

#[test]
fn a_synchronous_standby_is_promoted() {
    let count = rounds(10_000, 100);
    let server: &'static Server = Box::leak(Box::new(Server::start(true)));
    let database = server.database();
    let (url, both) = (database.url(), database.url_with_standby());
    let mut bench = Bench::on(Some(database), PROXIES, LIMITS);
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    bench.write("settings.toml", settings.replace(&url, &both).as_bytes());
    server.control("standby");
    let seen = register_all(&bench, count, |_, seen, ended| {
        let begun = || seen.done.load(Ordering::Relaxed) >= count / 4;
        assert!(wait(ended, begun), "the promotion");
        server.control("promote");
    });
    bench.look_at(&both);
    check(&bench, &seen, count);
}

fn check(bench: &Bench, seen: &Seen, count: usize) {
    let (answers, successes) = (seen.answers.lock().unwrap(), seen.successes.lock().unwrap());
    let twice = successes.values().filter(|successes| **successes > 1).count();
    let known: HashSet<_> = bench
        .rows("SELECT replace(text, '\n', ' ') FROM issued")
        .into_iter()
        .collect();
    let unknown = answers
        .iter()
        .filter(|text| !known.contains(&text.replace('\n', " ")))
        .count();
    let several = "(SELECT event ->> 'serial' FROM ledger WHERE event ->> 'kind' = 'serial-issued'
        GROUP BY 1 HAVING count(DISTINCT event ->> 'device') > 1) AS several";
    let several = bench.count(several);
    println!(
        "{} answers of success, {unknown} of them unknown to the database; {twice} nonces used twice; \
         {several} serials of two identities; other answers: {:?}",
        answers.len(),
        seen.others.lock().unwrap()
    );
    assert_eq!((unknown, twice, several), (0, 0, 0));
    assert_eq!(
        seen.done.load(Ordering::Relaxed),
        count,
        "devices that have a serial"
    );
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
