//! Kills at random moments.

use std::env;
use std::thread;
use std::time::Duration;

use testbed::HookCommand;

/// The number of rounds: `CAMPAIGN=full` (`./swtpm-test.sh --full`) runs all.
pub(crate) fn length(full: u32, short: u32) -> u32 {
    match env::var("CAMPAIGN").as_deref() {
        Ok("full") => full,
        _ => short,
    }
}

/// Pseudo-random numbers, the same in every run (Knuth's MMIX generator).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// From 0 to 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Kills a hook at a random moment. Returns true if that was before its end.
pub(crate) fn kill_at_random(hook: HookCommand<'_>, within: Duration, numbers: &mut Numbers) -> bool {
    let mut running = hook.spawn().unwrap();
    thread::sleep(within.mul_f64(numbers.next()));
    running.kill();
    !running.wait().unwrap().status.success()
}
