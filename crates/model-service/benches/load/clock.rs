//! The time and processor time of work, and the load by other programs meanwhile.

use std::fs;
use std::process;
use std::time::{Duration, Instant};

use crate::common::on_postgres;
use crate::common::parallel::THREADS;
use crate::common::postgres::Server;

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

/// Measures `work`, in which the processes `services` take part, and the database of all.
pub fn measured(services: &[u32], work: impl FnOnce()) -> Measured {
    let (all, own, start) = (all_used(), own_used(services), Instant::now());
    work();
    let time = start.elapsed();
    let (all, processor) = (all_used() - all, own_used(services) - own);
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

fn own_used(services: &[u32]) -> f64 {
    let services = services.iter().map(|process| used_by(*process, 2));
    used_by(process::id(), 4) + services.sum::<f64>() + used_by_database()
}

/// Of the first process of PostgreSQL with the children that it waited for, and of those that run.
fn used_by_database() -> f64 {
    if !on_postgres() {
        return 0.0;
    }
    let first = Server::shared().process();
    let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
    let children = children.split_whitespace().map(|child| child.parse().unwrap());
    used_by(first, 4) + children.map(|child| used_by(child, 2)).sum::<f64>()
}

/// Seconds that a process has used (proc(5), `/proc/PID/stat`): user, system, and the same of those
/// it waited for.
fn used_by(process: u32, fields: usize) -> f64 {
    // It may have ended.
    let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else {
        return 0.0;
    };
    // The name of the program, which may hold anything, ends with the last parenthesis.
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let ticks = rest
        .split(' ')
        .skip(11)
        .take(fields)
        .map(|field| field.parse::<f64>().unwrap());
    ticks.sum::<f64>() / TICKS
}
