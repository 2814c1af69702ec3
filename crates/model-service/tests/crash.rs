//! Crashes during many registrations: issued serials are known, and no nonce is valid twice.
//!
//! Three crashes by default, 50 with `CAMPAIGN=full`, each at another moment.

#![allow(clippy::unwrap_used)]

mod common;

use std::hint;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::campaign::{place, rounds, strike};
use common::device::Device;
use common::http::Request;
use common::parallel::{THREADS, parallel};
use common::{ASSERTIONS, Bench, Service, model, sign};

/// Registrations in each round, and concurrent ones.
const DEVICES: usize = 200;
const CLIENTS: usize = 8;
const FILE: &str = "database.sqlite";

/// The event after which the service is killed, for this number of requests.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The last byte of a request is sent.
    Sent(usize),
    /// An answer has arrived.
    Answered(usize),
    /// After this number of answers, the database is written.
    Writing(usize),
}

impl Moment {
    fn of(round: usize) -> Self {
        let count = 1 + (place(round) * (DEVICES - 1) as f64) as usize;
        [Self::Sent, Self::Answered, Self::Writing][round % 3](count)
    }
}

/// The devices, the imported stream of their identities, and the model.
struct Fleet {
    devices: Vec<Device>,
    identities: String,
    model: String,
}

impl Fleet {
    fn new() -> Self {
        let devices: Vec<_> = (0..DEVICES)
            .map(|index| Device::fresh(&format!("SN-{index}")))
            .collect();
        Self {
            identities: parallel(*THREADS, &devices, Device::identity).join("\n"),
            model: model("edge-box"),
            devices,
        }
    }

    /// A request of each device, with a new nonce.
    fn requests(&self, service: &Service) -> Vec<String> {
        let request = |index: &usize| {
            let device = &self.devices[*index];
            let statement = device.statement(&service.nonce(), &device.hardware_id);
            (
                *index,
                format!("{}\n{}", sign(statement, device.device_key), self.model),
            )
        };
        let indices: Vec<_> = (0..DEVICES).collect();
        let mut requests = parallel(*THREADS, &indices, request);
        requests.sort();
        requests.into_iter().map(|(_, request)| request).collect()
    }
}

/// The answer that each device got before the service was killed.
fn until_killed(
    bench: &Bench,
    service: &Service,
    requests: &[String],
    moment: Moment,
) -> Vec<Option<String>> {
    let (sent, answered) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    let strike_at = |count: &AtomicUsize, at| {
        if count.fetch_add(1, Ordering::Relaxed) + 1 == at {
            strike(service.child.id());
        }
    };
    let client = |index: &usize| {
        let answer = submit(service.address, &requests[*index], || {
            strike_at(sent, if let Moment::Sent(at) = moment { at } else { 0 });
        });
        strike_at(answered, if let Moment::Answered(at) = moment { at } else { 0 });
        (*index, answer)
    };
    let mut answers = thread::scope(|scope| {
        if let Moment::Writing(at) = moment {
            let before = |count| answered.load(Ordering::Relaxed) < count;
            scope.spawn(move || {
                while before(at) {
                    thread::yield_now();
                }
                let log = bench.log(FILE);
                while before(DEVICES) && bench.log(FILE) == log {
                    hint::spin_loop();
                }
                strike(service.child.id());
            });
        }
        parallel(CLIENTS, &(0..DEVICES).collect::<Vec<_>>(), client)
    });
    answers.sort();
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// The serial that a request got, if the answer is complete.
fn submit(address: SocketAddr, request: &str, sent: impl FnOnce()) -> Option<String> {
    let request = Request::post("/v1/serial", request).header("content-type", ASSERTIONS);
    let mut connection = TcpStream::connect(address).ok()?;
    connection.write_all(&request.bytes()).ok()?;
    sent();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 201"), "{answer}");
    let whole = head.contains(&format!("content-length: {}", body.len()));
    whole.then(|| body.to_owned())
}

/// The state of the database before it is written again.
fn check_database(bench: &Bench, received: &[Option<String>]) {
    bench.is_sound();
    let issued = bench.count("issued");
    assert_eq!(
        bench.count("issued JOIN serials USING (brand, model, serial)"),
        issued
    );
    assert_eq!(bench.count("serials"), issued);
    assert_eq!(bench.count("registrations WHERE outcome = 'issued'"), issued);
    assert!(bench.count(&format!("nonces WHERE {}", bench.used())) >= issued);
    let known = bench.rows("SELECT replace(text, '\n', ' ') FROM issued");
    for text in received.iter().flatten() {
        assert!(
            known.contains(&text.replace('\n', " ")),
            "a serial that a device has is not known"
        );
    }
}

/// A nonce of an issued serial, or consumed by a request without an answer, is not valid again.
/// Returns the number of nonces that were valid, once.
fn check_nonces(service: &Service, requests: &[String], received: &[Option<String>]) -> usize {
    let again = |index: &usize| {
        let (request, received) = (&requests[*index], &received[*index]);
        let answer = service.serial(request);
        let good = answer.status == 201 && received.is_none();
        if !good {
            answer.refused(403, "nonce-used");
        }
        service.serial(request).refused(403, "nonce-used");
        good
    };
    let good = parallel(*THREADS, &(0..DEVICES).collect::<Vec<_>>(), again);
    good.into_iter().filter(|good| *good).count()
}

/// Each device can register, and one that had a serial gets the same again.
fn check_serials(service: &Service, fleet: &Fleet, received: &[Option<String>]) {
    let requests = fleet.requests(service);
    let register = |index: &usize| {
        let (device, answer) = (&fleet.devices[*index], service.serial(&requests[*index]));
        assert_eq!(device.accepts(&answer), (device.hardware_id.clone(), 0));
        if let Some(received) = &received[*index] {
            assert_eq!(&answer.body, received);
        }
    };
    parallel(*THREADS, &(0..DEVICES).collect::<Vec<_>>(), register);
}

#[test]
fn among_many_registrations() {
    let fleet = Fleet::new();
    let rounds = rounds(50, 3);
    let (mut all, mut early) = (0, 0);
    for round in 0..rounds {
        let moment = Moment::of(round);
        let bench = Bench::new();
        bench.import_text(&fleet.identities);
        let mut service = bench.serve();
        let requests = fleet.requests(&service);
        let received = until_killed(&bench, &service, &requests, moment);
        service.kill();
        check_database(&bench, &received);
        let (served, unused) = (
            bench.count("issued"),
            bench.count(&format!("nonces WHERE NOT ({})", bench.used())),
        );
        let count = received.iter().flatten().count();

        let service = bench.serve();
        let good = check_nonces(&service, &requests, &received);
        assert_eq!(good as i64, unused, "{moment:?}");
        check_serials(&service, &fleet, &received);
        println!(
            "{moment:?}: {count} devices had a serial, {served} were known, {good} nonces were still good"
        );
        all += count;
        early += usize::from(count < DEVICES);
    }
    println!("{early} of {rounds} kills came before the last answer; {all} serials had been received");
    assert!(early * 2 > rounds, "the kills come too late to show anything");
}
