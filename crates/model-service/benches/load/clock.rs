//! The time and processor time of work, and the load by other programs meanwhile.

use std::fs;
use std::process;
use std::time::{Duration, Instant};

use crate::common::parallel::THREADS;

/// The kernel shows times to programs in hundredths of a second on every architecture.
const TICKS: f64 = 100.0;

/// The cost of some work.
pub struct Measured {
    pub time: Duration,
    /// Seconds on all cores together, of this process, those that it started and `service`.
    pub processor: f64,
    /// The fraction of the time of all cores that other programs and threads of the kernel used.
    pub others: f64,
}

/// Measures `work`, in which the process `service` takes part.
pub fn measured(service: Option<u32>, work: impl FnOnce()) -> Measured {
    let (all, own, start) = (all_used(), own_used(service), Instant::now());
    work();
    let time = start.elapsed();
    let (all, processor) = (all_used() - all, own_used(service) - own);
    Measured {
        time,
        processor,
        others: (all - processor) / (time.as_secs_f64() * *THREADS as f64),
    }
}

/// Seconds that all cores were busy since the system started (proc(5), `/proc/stat`).
fn all_used() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let line = stat.lines().next().unwrap();
    let ticks = |index: usize| -> f64 { line.split_whitespace().nth(index + 1).unwrap().parse().unwrap() };
    // user, nice, system, irq, softirq; the two after system are idle.
    [0, 1, 2, 5, 6].map(ticks).iter().sum::<f64>() / TICKS
}

fn own_used(service: Option<u32>) -> f64 {
    used_by(process::id(), 4) + service.map_or(0.0, |process| used_by(process, 2))
}

/// Seconds that a process has used (proc(5), `/proc/PID/stat`): user, system, and the same of those
/// it waited for.
fn used_by(process: u32, fields: usize) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name of the program, which may hold anything, ends with the last parenthesis.
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let ticks = rest
        .split(' ')
        .skip(11)
        .take(fields)
        .map(|field| field.parse::<f64>().unwrap());
    ticks.sum::<f64>() / TICKS
}
