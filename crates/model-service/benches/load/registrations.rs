//! Registrations, each of which needs one signature, beside signatures alone.

use std::hash::{BuildHasher as _, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::alone::Alone;
use crate::client::{Client, post};
use crate::clock::{Measured, measured};
use crate::common::device::Device;
use crate::common::parallel::{THREADS, parallel, with_each};
use crate::common::{Bench, Service, model, on_postgres, sign};
use crate::turns;

/// Devices at once.
const CLIENTS: usize = 64;

/// Measures `rounds` turns with `devices` registrations in each piece: all at once, the same with
/// `identities` more in the database, and spread so that `percent` of the signatures that aws-lc
/// alone makes are asked for.
pub fn run(rounds: usize, devices: usize, identities: usize, percent: usize, replicas: usize) {
    let alone = Alone::new("brand");
    let mut worlds = vec![World::new(0, replicas)];
    if identities > 0 {
        worlds.push(World::new(identities, replicas));
    }
    let mut spread = World::new(0, replicas);
    let turns = turns::run(rounds, || {
        let requests: Vec<_> = worlds.iter_mut().map(|world| world.requests(devices)).collect();
        let spread_requests = spread.requests(devices);
        let worlds = worlds.iter_mut().zip(&requests);
        turns::wait_for_quiet();
        let mut pieces = vec![alone.sign(devices)];
        pieces.extend(worlds.map(|(world, requests)| world.register(requests)));
        let period = pieces[0].time.mul_f64(100.0 / percent as f64);
        pieces.push(spread.register_in(period, &spread_requests));
        pieces
    });
    let (signing, _) = turns::sum(&turns, 0);
    let all = rounds * devices;
    println!(
        "{} cores; aws-lc alone: {:.0} RSA-4096 signatures/s",
        *THREADS,
        all as f64 / signing
    );
    for (index, world) in worlds.iter_mut().enumerate() {
        world.show(&turns, index + 1, all);
    }
    println!("devices that come by themselves, at {percent} % of the signatures:");
    spread.show_times(signing / all as f64);
    if worlds.len() > 1 {
        let ((few, _), (many, _)) = (turns::sum(&turns, 1), turns::sum(&turns, 2));
        println!(
            "with {identities} more in the database a registration takes {:.3} x as long",
            many / few
        );
    }
}

/// The replicas of a service and its clients.
struct World {
    /// Rows in the database before the devices' own.
    filled: usize,
    _bench: Bench,
    services: Vec<Service>,
    clients: Vec<Client>,
    model: String,
    devices: usize,
    /// How long each device waited, in all turns.
    times: Vec<Duration>,
}

impl World {
    fn new(filled: usize, replicas: usize) -> Self {
        // Clients wait with their connections open until other programs are idle.
        let bench = Bench::with(
            "",
            "logged-registrations = 1000000\nrequest-seconds = 86400\nconnection-seconds = 864000",
        );
        let services: Vec<_> = (0..replicas).map(|_| bench.serve()).collect();
        fill(&bench, filled);
        let addresses = services.iter().map(|service| service.address).cycle();
        Self {
            filled,
            _bench: bench,
            clients: addresses.take(CLIENTS).map(Client::connect).collect(),
            services,
            model: model("edge-box"),
            devices: 0,
            times: Vec::new(),
        }
    }

    /// Imports new devices, and returns the request of each.
    fn requests(&mut self, count: usize) -> Vec<Vec<u8>> {
        let numbers: Vec<_> = (self.devices..self.devices + count).collect();
        self.devices += count;
        let device = |number: &usize| {
            let device = Device::fresh(&format!("SN-{number}"));
            (device.identity(), device)
        };
        let (identities, devices): (Vec<_>, Vec<_>) =
            parallel(*THREADS, &numbers, device).into_iter().unzip();
        assert_eq!(self.services[0].import(&identities.join("\n")).status, 200);
        with_each(&mut self.clients, &devices, |client, device| {
            request(client, device, &self.model)
        })
    }

    fn processes(&self) -> Vec<u32> {
        self.services.iter().map(|service| service.child.id()).collect()
    }

    fn register(&mut self, requests: &[Vec<u8>]) -> Measured {
        measured(&self.processes(), || {
            let mut times = with_each(&mut self.clients, requests, |client, request| {
                let started = Instant::now();
                register(client, request);
                started.elapsed()
            });
            self.times.append(&mut times);
        })
    }

    /// The devices arrive at random within `period`, and each time starts at the arrival.
    fn register_in(&mut self, period: Duration, requests: &[Vec<u8>]) -> Measured {
        let random = RandomState::new();
        let moment = |index| period.mul_f64(random.hash_one(index) as f64 / u64::MAX as f64);
        let mut moments: Vec<_> = (0..requests.len()).map(moment).collect();
        moments.sort();
        let comers: Vec<_> = moments.into_iter().zip(requests).collect();
        measured(&self.processes(), || {
            let started = Instant::now();
            let mut times = with_each(&mut self.clients, &comers, |client, (moment, request)| {
                let comes = started + *moment;
                thread::sleep(comes.saturating_duration_since(Instant::now()));
                register(client, request);
                comes.elapsed()
            });
            self.times.append(&mut times);
        })
    }

    fn show(&mut self, turns: &[Vec<Measured>], piece: usize, all: usize) {
        let ((signing, signing_processor), (time, processor)) =
            (turns::sum(turns, 0), turns::sum(turns, piece));
        let (least, greatest) = turns::range(turns, 0, piece);
        println!(
            "{} more identities, {CLIENTS} devices at once: {:.0} registrations/s, {:.3} x the signatures ({least:.3} to {greatest:.3} in single turns; {:.3} by processor time, the clients' included)",
            self.filled,
            all as f64 / time,
            signing / time,
            signing_processor / processor,
        );
        self.show_times(signing / all as f64);
    }

    fn show_times(&mut self, share: f64) {
        self.times.sort();
        let last = self.times.len() - 1;
        let at = |percent: usize| self.times[last * percent / 100];
        let p99 = at(99).as_secs_f64();
        println!(
            "  a device waits {:.0?}, p99 {:.0?}, at most {:.0?}; p99 is {:.1} x one signature, {:.2} x the time of {CLIENTS} signatures on all cores",
            at(50),
            at(99),
            at(100),
            p99 / (share * *THREADS as f64),
            p99 / (share * CLIENTS as f64),
        );
    }
}

/// The request that a device will send for its serial.
fn request(client: &mut Client, device: &Device, model: &str) -> Vec<u8> {
    let (_, answer) = client.exchange(&post("/v1/request-id", "", ""));
    let nonce: Value = serde_json::from_str(answer).unwrap();
    let statement = device.statement(nonce["request-id"].as_str().unwrap(), &device.hardware_id);
    let stream = format!("{}\n{model}", sign(statement, device.device_key));
    post("/v1/serial", "", &stream)
}

fn register(client: &mut Client, request: &[u8]) {
    let (status, answer) = client.exchange(request);
    assert_eq!(status, 201, "{answer}");
}

/// Adds rows to the database that only make it larger.
fn fill(bench: &Bench, count: usize) {
    // Digests in no order, as hashes are.
    let (digest, series) = match on_postgres() {
        true => (
            "encode(sha256(n::text::bytea), 'hex')".to_owned(),
            format!("generate_series(1, {count}) AS series (n)"),
        ),
        false => (
            "printf('%016x%048x', (n * 7046029254386353131) & 9223372036854775807, n)".to_owned(),
            format!(
                "(WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {count})
                SELECT n FROM series WHERE {count} > 0)"
            ),
        ),
    };
    let (identities, texts) = (bench.imported("identities"), bench.imported("identity_texts"));
    bench.execute(&format!(
        "INSERT INTO {identities} (issuer, digest, key_digest, revision, hardware_id, hardware_name,
            manufacturer, imported, import)
        SELECT 'acme', {digest}, {digest}, 0, 'filler-' || n, 'edge-box', 'Acme', 0, 0 FROM {series};
        INSERT INTO {texts} SELECT id, {long} FROM {identities};",
        long = vec!["digest"; 19].join(" || "),
    ));
    if on_postgres() {
        bench.execute("VACUUM ANALYZE");
    }
}
