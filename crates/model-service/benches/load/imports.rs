//! Imports, each assertion of which needs one verification, beside verifications alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::alone::Alone;
use crate::client::{Client, post};
use crate::clock::{Measured, measured};
use crate::common::device::Device;
use crate::common::http::Request;
use crate::common::parallel::{THREADS, parallel};
use crate::common::{ASSERTIONS, Bench, PROGRAM, Service, TOKEN};
use crate::turns;

/// The time between two requests for a nonce while an import runs.
const PAUSE: Duration = Duration::from_millis(5);

pub fn run(rounds: usize, count: usize) {
    let file = assertions(count);
    let alone = Alone::new("issuer");
    let request = request(&file);
    let mut peak = 0;
    let turns = turns::run(rounds, || {
        let bench = Bench::new();
        let service = bench.serve();
        turns::wait_for_quiet();
        let pieces = vec![
            alone.verify(count),
            by_command(&file, count),
            by_post(&service, &request, &bench, count),
        ];
        peak = peak.max(peak_memory(&service));
        pieces
    });
    let all = (rounds * count) as f64;
    let (verifying, verifying_processor) = turns::sum(&turns, 0);
    println!(
        "{} cores; aws-lc alone: {:.0} RSA-4096 verifications/s",
        *THREADS,
        all / verifying
    );
    for (piece, name) in [(1, "model-service import"), (2, "POST /v1/hardware-identities")] {
        let (time, processor) = turns::sum(&turns, piece);
        let (least, greatest) = turns::range(&turns, piece, 0);
        println!(
            "{name} of {count}: {:.2} s, {:.0} assertions/s, {:.2} x the time of the verifications alone ({least:.2} to {greatest:.2} in single turns; {:.2} by processor time)",
            time / rounds as f64,
            all / time,
            time / verifying,
            processor / verifying_processor,
        );
    }
    println!("  peak memory of the service: {peak} KiB");
    wait_meanwhile(&file, count);
}

fn by_command(file: &Path, count: usize) -> Measured {
    let bench = Bench::new();
    let mut command = Command::new(PROGRAM);
    command
        .args(["import", "--config"])
        .args([&bench.path("settings.toml"), file])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let measured = measured(&[], || assert!(command.status().unwrap().success()));
    assert_eq!(bench.count("identities"), count as i64);
    measured
}

fn by_post(service: &Service, request: &Request, bench: &Bench, count: usize) -> Measured {
    let measured = measured(&[service.child.id()], || {
        assert_eq!(service.send(request).status, 200)
    });
    assert_eq!(bench.count("identities"), count as i64);
    measured
}

fn request(file: &Path) -> Request {
    Request::post("/v1/hardware-identities", fs::read(file).unwrap())
        .header("content-type", ASSERTIONS)
        .header("authorization", &format!("Bearer {TOKEN}"))
}

/// In KiB.
fn peak_memory(service: &Service) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", service.child.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// How long devices wait for a nonce while an import runs.
fn wait_meanwhile(file: &Path, count: usize) {
    let bench = Bench::new();
    let service = bench.serve();
    let request = request(file);
    let done = AtomicBool::new(false);
    let mut times = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut client = Client::connect(service.address);
            let mut times = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let started = Instant::now();
                assert_eq!(client.exchange(&post("/v1/request-id", "", "")).0, 200);
                times.push(started.elapsed());
                thread::sleep(PAUSE);
            }
            times
        });
        by_post(&service, &request, &bench, count);
        done.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    });
    times.sort();
    println!(
        "a device that wants a nonce meanwhile waits {:.1?}, p99 {:.1?}, at most {:.1?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1]
    );
}

/// A file with the identities of this number of devices.
fn assertions(count: usize) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("identities-{count}.assert"));
    if !file.exists() {
        let identity = |index: &usize| Device::fresh(&format!("SN-{index:07}")).identity();
        let all = parallel(*THREADS, &(0..count).collect::<Vec<_>>(), identity);
        let whole = file.with_extension("part");
        fs::write(&whole, all.join("\n")).unwrap();
        fs::rename(whole, &file).unwrap();
    }
    file
}
