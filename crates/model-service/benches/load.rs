//! How many registrations and imports the service manages, beside the RSA operations that each of them needs.
//!
//! `cargo bench -p model-service --bench load`; `IDENTITIES=1000000` fills the database first. All numbers of a run
//! are of the same machine at the same time, so that their ratios mean something.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::device::Device;
use common::{Bench, Service, signer};
use rusqlite::{Connection, params};
use snap_assertions::{Signer as _, decode};

/// Devices at once.
const CLIENTS: usize = 64;
const DEVICES: usize = 2000;

fn main() {
    let threads = thread::available_parallelism().unwrap().get();
    let bench = Bench::with("", "logged-registrations = 1000000");
    let filled = env::var("IDENTITIES").map_or(0, |count| count.parse().unwrap());
    let devices: Vec<_> = (0..DEVICES)
        .map(|index| Device::fresh(&format!("hw-{index}")))
        .collect();
    let identities = parallel(threads, &devices, Device::identity);

    let signatures = rate(threads, 1000, || {
        drop(signer("brand").sign(b"content", 0).unwrap())
    });
    let assertion = decode(identities[0].0.as_bytes()).unwrap();
    let verifications = rate(threads, 20_000, || {
        assertion.verify(signer("issuer").public_key()).unwrap()
    });
    println!("{threads} threads; RSA-4096: {signatures:.0} signatures/s, {verifications:.0} verifications/s");

    let service = bench.serve();
    fill(&bench, filled);
    let stream: Vec<_> = identities.into_iter().map(|(text, _)| text).collect();
    let started = Instant::now();
    assert_eq!(service.import(&stream.join("\n")).status, 200);
    let imports = per_second(DEVICES, started.elapsed());
    println!(
        "import: {imports:.0} assertions/s, {:.2} x the verifications",
        imports / verifications
    );

    register(&service, &devices, threads, signatures);
    println!("with {} identities in the database", bench.count("identities"));
}

/// All devices at once, each with a request that was made beforehand.
fn register(service: &Service, devices: &[Device], threads: usize, signatures: f64) {
    let numbered: Vec<_> = devices.iter().enumerate().collect();
    let streams = parallel(threads, &numbered, |(index, device)| {
        device.stream(&service.nonce(), &format!("SN-{index}"))
    });
    let streams: Vec<_> = streams.into_iter().map(|(stream, _)| stream).collect();
    let started = Instant::now();
    let mut times: Vec<Duration> = parallel(CLIENTS, &streams, |stream| {
        assert_eq!(service.serial(stream).status, 201);
    })
    .into_iter()
    .map(|((), time)| time)
    .collect();
    let registrations = per_second(devices.len(), started.elapsed());
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    let one = threads as f64 / signatures;
    println!(
        "{CLIENTS} devices at once: {registrations:.0} registrations/s, {:.2} x the signatures; p99 {p99:.1?}, {:.1} x one signature",
        registrations / signatures,
        p99.as_secs_f64() / one
    );
}

/// Puts rows into the database that only take up room.
fn fill(bench: &Bench, count: usize) {
    let mut database = Connection::open(bench.path("database.sqlite")).unwrap();
    let transaction = database.transaction().unwrap();
    for index in 0..count {
        let digest = format!("{:064x}", index as u128 * 0x9E37_79B9_7F4A_7C15_F39C);
        let row = "INSERT INTO identities VALUES (NULL, 'acme', ?1, ?1, 0, ?2, 'edge-box', 'Acme', 0)";
        transaction
            .prepare_cached(row)
            .unwrap()
            .execute(params![digest, format!("filler-{index}")])
            .unwrap();
        let text = "INSERT INTO identity_texts VALUES (last_insert_rowid(), ?1)";
        transaction
            .prepare_cached(text)
            .unwrap()
            .execute([digest.repeat(22)])
            .unwrap();
    }
    transaction.commit().unwrap();
}

fn rate(threads: usize, count: usize, work: impl Fn() + Sync) -> f64 {
    let started = Instant::now();
    parallel(threads, &vec![(); count], |()| work());
    per_second(count, started.elapsed())
}

fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// Does `work` on all items with so many threads; the results, each with the time it took, are in no order.
fn parallel<I: Sync, T: Send>(
    threads: usize,
    items: &[I],
    work: impl Fn(&I) -> T + Sync,
) -> Vec<(T, Duration)> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            let started = Instant::now();
            done.push((work(item), started.elapsed()));
        }
        done
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    })
}
