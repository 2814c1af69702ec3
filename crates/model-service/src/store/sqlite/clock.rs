//! The time at which nonces are issued and used.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Where Linux names the boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// How far the clock may be set, in seconds, before the log says so.
const STEP: i64 = 5;

/// A time on two clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Seconds since the epoch, by the clock of the system, which can be set.
    pub(crate) wall: i64,
    /// Seconds since the boot, suspensions included, which nobody can set.
    pub(super) uptime: i64,
}

/// The two clocks.
#[derive(Debug)]
pub(super) struct Clock {
    /// The id of the boot, which `uptime` counts from.
    pub(super) boot: String,
    /// The time of the boot when it was computed last.
    booted: AtomicI64,
}

impl Clock {
    pub(super) fn new() -> Self {
        let now = read();
        Self {
            // Without it, only the clock of the system tells a nonce of an earlier boot.
            boot: files::read_text(Path::new(BOOT_ID), 64)
                .map(|id| id.trim().to_owned())
                .unwrap_or_default(),
            booted: AtomicI64::new(now.wall - now.uptime),
        }
    }

    /// The time now. Logs that the clock of the system was set.
    pub(super) fn now(&self) -> Moment {
        let now = read();
        let booted = now.wall - now.uptime;
        let before = self.booted.load(Ordering::Relaxed);
        if (booted - before).abs() > STEP && self.booted.swap(booted, Ordering::Relaxed) != booted {
            tracing::warn!(
                "the clock was set by {} s: nonces issued before may be refused as expired",
                booted - before
            );
        }
        now
    }
}

fn read() -> Moment {
    Moment {
        wall: Timestamp::now().as_second(),
        uptime: clock_gettime(ClockId::Boottime).tv_sec,
    }
}
