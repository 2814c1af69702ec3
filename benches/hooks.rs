//! Time, size and memory of the hooks. Each time is compared with those of two other programs,
//! measured in turns in one run:
//!
//! - a program that only opens the TCTI and sends the same TPM commands (`minimal.rs`),
//! - the same hook as a shell script on tpm2-tools and openssl (`prepare-serial-request.sh`).
//!
//! Size and peak memory have limits, and a run over a limit fails. Times are only printed. `ROUNDS`
//! sets the number of runs.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::{Device, SystemMode, TestTpm};

const CONFIGURE: &str = env!("CARGO_BIN_EXE_configure");
const INSTALL_DEVICE: &str = env!("CARGO_BIN_EXE_install-device");
const PREPARE_DEVICE: &str = env!("CARGO_BIN_EXE_prepare-device");
const PREPARE_SERIAL_REQUEST: &str = env!("CARGO_BIN_EXE_prepare-serial-request");
/// The limit of the size in bytes, stripped as in the release profile: with all backends, or with the
/// TPM alone.
const LARGEST_BINARY: u64 = if cfg!(any(feature = "pkcs11", feature = "software")) {
    3 * 1024 * 1024
} else {
    2 * 1024 * 1024
};
/// The limit of the peak memory in KiB.
const PEAK_MEMORY: u64 = 12 * 1024;

fn main() {
    let rounds = env::var("ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(100);
    let tpm = TestTpm::new().unwrap();
    let device = Device::new().unwrap();
    device
        .set_config("registration.request-id", json!("a nonce"))
        .unwrap();
    for hook in [CONFIGURE, INSTALL_DEVICE, PREPARE_DEVICE, PREPARE_SERIAL_REQUEST] {
        let mode = if hook == INSTALL_DEVICE { "install" } else { "run" };
        let system = SystemMode {
            mode: mode.to_owned(),
            ..SystemMode::default()
        };
        device.set_system_mode(system).unwrap();
        check_limits(&tpm, &device, Path::new(hook));
    }
    let medians = measure(&tpm, &device, rounds);
    let of = |name: &str| medians[name].as_secs_f64() * 1e3;
    println!("\nmedian of {rounds} runs in turns, milliseconds");
    for (name, median) in &medians {
        println!("  {name:<38} {:7.2}", median.as_secs_f64() * 1e3);
    }
    let (get, set) = (of("snapctl get"), of("snapctl set"));
    let own = |hook: &str, snapctl: f64, minimal: &str| (of(hook) - snapctl) / of(minimal);
    println!("ratios");
    println!(
        "  prepare-serial-request / minimal         {:.2}  (less its two calls of snapctl: {:.2})",
        of("prepare-serial-request") / of("minimal, read and sign"),
        own("prepare-serial-request", get + set, "minimal, read and sign")
    );
    println!(
        "  prepare-device / minimal                 {:.2}  (less its two calls of snapctl: {:.2})",
        of("prepare-device") / of("minimal, read"),
        own("prepare-device", get + of("snapctl unset"), "minimal, read")
    );
    println!(
        "  shell script / prepare-serial-request    {:.1}",
        of("shell script") / of("prepare-serial-request")
    );
}

fn check_limits(tpm: &TestTpm, device: &Device, hook: &Path) {
    let name = hook.file_name().unwrap().display();
    let size = fs::metadata(hook).unwrap().len();
    let outcome = device
        .hook(hook)
        .env("TCTI", tpm.swtpm_tcti())
        .measure_memory()
        .run()
        .unwrap();
    assert!(outcome.status.success(), "{}", outcome.merged);
    let memory = outcome.peak_memory.unwrap();
    println!("{name}: {size} bytes (limit {LARGEST_BINARY}), peak memory {memory} KiB (limit {PEAK_MEMORY})");
    assert!(
        size <= LARGEST_BINARY && memory <= PEAK_MEMORY,
        "{name} is over its limit"
    );
}

fn measure(tpm: &TestTpm, device: &Device, rounds: usize) -> BTreeMap<&'static str, Duration> {
    let release = Path::new(PREPARE_DEVICE).parent().unwrap();
    let minimal = release.join("examples/minimal");
    let snapctl = release.join("snapctl");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/prepare-serial-request.sh");
    let programs: [(&str, PathBuf, &[&str]); 9] = [
        ("minimal, read", minimal.clone(), &[]),
        ("minimal, read and sign", minimal, &["sign"]),
        ("configure", CONFIGURE.into(), &[]),
        ("prepare-device", PREPARE_DEVICE.into(), &[]),
        ("prepare-serial-request", PREPARE_SERIAL_REQUEST.into(), &[]),
        ("shell script", script, &[]),
        (
            "snapctl get",
            snapctl.clone(),
            &["get", "-d", "registration.request-id", "hardware-identity"],
        ),
        (
            "snapctl set",
            snapctl.clone(),
            &["set", "-t", "registration.body={}"],
        ),
        ("snapctl unset", snapctl, &["unset", "registration.body"]),
    ];
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for _ in 0..rounds {
        for (name, program, arguments) in &programs {
            times
                .entry(name)
                .or_default()
                .push(time(tpm, device, program, arguments));
        }
    }
    times
        .into_iter()
        .map(|(name, times)| (name, median(times)))
        .collect()
}

fn time(tpm: &TestTpm, device: &Device, program: &Path, arguments: &[&str]) -> Duration {
    let release = Path::new(PREPARE_DEVICE).parent().unwrap().display();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdout(Stdio::null())
        .env_clear()
        .env("PATH", format!("{release}:/usr/bin:/bin"))
        .env("TCTI", tpm.swtpm_tcti())
        .env("TPM2TOOLS_TCTI", tpm.swtpm_tcti())
        .env("SNAP", device.snap())
        .env("SNAP_SAVE_DATA", device.save_data())
        .env("SNAP_COOKIE", device.state_file());
    let start = Instant::now();
    let status = command.status().unwrap();
    let took = start.elapsed();
    assert!(status.success(), "{} {arguments:?}", program.display());
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
